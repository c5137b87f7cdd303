"""A score of several training seeds with all that could have been otherwise, and the difference of two such scores.

Two things vary by chance: the images (or classes) that were drawn to test on, and the seed of the training. Their
variances add up; the degrees of freedom of the sum are Satterthwaite's (Biometrics Bulletin 2(6), 1946), and the
interval is Student's. For two methods on the same images, the images' part is that of the difference, worked out group
by group; the seeds of the two are independent (Welch, Biometrika 34, 1947).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from bench.evaluation.ranking.arrays import Floats, Ints
from bench.evaluation.statistics.jackknife import groups_of_images, queries_left_out, standard_error

ALPHA = 0.05


@dataclass(frozen=True)
class Measured:
    """A method's score on one set of queries. scores: float64 ``(seeds,)``; replicates: ``(seeds, groups)``.

    replicates: the score without each group of images (or of classes), the same groups for all that is compared.
    """

    scores: Floats
    replicates: Floats

    def __rmul__(self, factor: int) -> Measured:
        """Return the same times a number, such as -1 where less is better."""
        return Measured(factor * self.scores, factor * self.replicates)

    @property
    def seeds(self) -> int:
        return len(self.scores)

    @property
    def seed_variance(self) -> float:
        """Variance of the mean over seeds, as far as it is from the training; 0 for one seed, which cannot tell."""
        return float(self.scores.var(ddof=1)) / self.seeds if self.seeds > 1 else 0.0


@dataclass(frozen=True)
class Estimate:
    """A mean, or a difference of two, and how sure it is.

    spread: standard deviation of the seeds' scores, NaN for one seed and for differences.
    """

    mean: float
    standard_error: float
    freedom: float
    spread: float = math.nan

    @property
    def low(self) -> float:
        """The lower end of the 95 % interval."""
        return self.mean - self._reach

    @property
    def high(self) -> float:
        """The upper end of the 95 % interval."""
        return self.mean + self._reach

    @property
    def t(self) -> float:
        """Standard errors between the mean and 0; infinite where nothing varied, 0 where the mean is 0 as well."""
        if self.standard_error > 0:
            return self.mean / self.standard_error
        return 0.0 if self.mean == 0 else math.copysign(math.inf, self.mean)

    @property
    def p(self) -> float:
        """Two-sided p of Student's t test against 0."""
        return float(2 * special.stdtr(self.freedom, -abs(self.t))) if self._known else 1.0

    @property
    def _known(self) -> bool:
        return not math.isnan(self.standard_error)

    @property
    def _reach(self) -> float:
        return float(special.stdtrit(self.freedom, 1 - ALPHA / 2)) * self.standard_error

    def __str__(self) -> str:
        return f"{self.mean:.3f} ± {self._reach:.3f}"


def intervals(scores: Mapping[str, float], replicates: Mapping[str, Floats]) -> dict[str, tuple[float, float]]:
    """Return the 95 % interval of every score of one run that has replicates, by metric."""
    found = {}
    for name, left_out in replicates.items():
        one = estimate(Measured(np.array([scores[name]]), left_out[None]))
        if not math.isnan(one.standard_error):
            found[name] = (one.low, one.high)
    return found


def of_queries(values: Floats, labels: Ints) -> Measured:
    """Return what is known of values where no gallery was left out: it speaks of other queries to the same gallery.

    values: float64 ``(seeds, q)``, NaN where a query has none; labels: int64 ``(q,)``.
    """
    nothing = np.empty(0, dtype=np.int64)
    groups = groups_of_images((labels, nothing), (np.arange(len(labels)), nothing))
    return Measured(np.nanmean(values, axis=1), queries_left_out(values, groups))


def estimate(one: Measured) -> Estimate:
    """Return the mean over seeds."""
    parts = [(_variance(one.replicates), one.replicates.shape[1] - 1), (one.seed_variance, one.seeds - 1)]
    spread = float(one.scores.std(ddof=1)) if one.seeds > 1 else math.nan
    return _combined(float(one.scores.mean()), parts, spread)


def over_draws(means: Floats) -> Estimate:
    """Return the mean over draws of the classes to test on; what varies from draw to draw is all that varies.

    means: float64 ``(draws,)``, two at least: each draw's mean over seeds; or differences within each draw.
    """
    spread = float(means.std(ddof=1))
    return _combined(float(means.mean()), [(spread**2 / len(means), len(means) - 1)], spread)


def difference(one: Measured, reference: Measured) -> Estimate:
    """Return one less the reference: both means over seeds, of the same images."""
    apart = one.replicates.mean(axis=0) - reference.replicates.mean(axis=0)
    parts = [(_variance(apart[None]), len(apart) - 1)]
    parts += [(side.seed_variance, side.seeds - 1) for side in (one, reference)]
    return _combined(float(one.scores.mean() - reference.scores.mean()), parts)


def detectable_difference(found: Estimate, power: float = 0.8) -> float:
    """Return the smallest true difference that the t test at 5 % finds with 80 % power, in the metric's own unit.

    It solves the power of the two-sided test (noncentral t) for the shift: about 3 standard errors at 19 degrees of
    freedom. Source: Cohen, Statistical Power Analysis for the Behavioral Sciences, 1988.
    """
    limit = special.stdtrit(found.freedom, 1 - ALPHA / 2)
    # a rejection on the wrong side is left out: with 80 % power its chance is below 0.00001
    return float(found.standard_error * special.nctdtrinc(found.freedom, 1 - power, limit))


def _variance(replicates: Floats) -> float:
    return float(standard_error(replicates.mean(axis=0)) ** 2)


def _combined(mean: float, parts: Sequence[tuple[float, int]], spread: float = math.nan) -> Estimate:
    """Return an estimate from variances and their degrees of freedom."""
    total = sum(variance for variance, _ in parts)
    weight = sum(variance**2 / freedom for variance, freedom in parts if freedom > 0)
    freedom = total**2 / weight if weight > 0 else max(1, parts[0][1])
    return Estimate(mean, math.sqrt(total), freedom, spread)


def macro_means(values: Mapping[str, Floats], classes: Ints) -> dict[str, float]:
    """Return for each metric the mean of the per-class means.

    values: float64 ``(q,)`` each, NaN for a query that has no value; classes: int64 ``(q,)``, each query's class. A
    class without any value is left out; NaN where no class has one.
    """
    _, member = np.unique(classes, return_inverse=True)
    means = {}
    for name, column in values.items():
        has = ~np.isnan(column)
        sizes = np.bincount(member[has])
        sums = np.bincount(member[has], weights=column[has])
        means[name] = float((sums[sizes > 0] / sizes[sizes > 0]).mean()) if has.any() else float("nan")
    return means


def class_means(values: Floats, classes: Ints) -> Floats:
    """Return the mean of each class in the order of ``np.unique(classes)``, float64; NaN where no query has a value."""
    found, member = np.unique(classes, return_inverse=True)
    has = ~np.isnan(values)
    sizes = np.bincount(member[has], minlength=len(found))
    sums = np.bincount(member[has], weights=values[has], minlength=len(found))
    means = np.full(len(found), np.nan)
    means[sizes > 0] = sums[sizes > 0] / sizes[sizes > 0]
    return means
