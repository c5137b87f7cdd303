"""Do two methods differ on the same queries? A paired permutation test, an interval, and what could be seen at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from bench.contract import DataError
from bench.evaluation.ranking.arrays import Floats, Ints
from bench.evaluation.statistics.bootstrap import MIN_CLUSTERS, RESAMPLES, interval, seeds_by_queries, units

ALPHA = 0.05
POWER = 0.8
_EXACT_UNITS = 13  # up to 8,192 sign patterns are tried all; beyond, RESAMPLES of them are drawn
_BLOCK = 1 << 18  # signs that are held at once


@dataclass(frozen=True)
class Comparison:
    """One method against a reference on one metric: what is reported of them.

    difference: mean over queries of the method's values less the reference's, each averaged over its seeds first;
    low, high: its 95 % interval, seeds and queries (or classes) drawn anew; p: two-sided, of the paired permutation
    test on the seed averages; p_holm: corrected for all comparisons made together; detectable: the smallest true
    difference that the test finds in 80 % of such query sets at 5 %, before Holm; wins, losses: classes in which the
    method's mean is higher, lower.
    """

    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    detectable: float
    wins: int
    losses: int

    @property
    def separable(self) -> bool:
        """Whether the two differ significantly at 5 %, Holm-corrected."""
        return self.p_holm <= ALPHA


def compare(
    reference: Floats, others: Sequence[Floats], classes: Ints, *, resamples: int = RESAMPLES, seed: int = 0
) -> list[Comparison]:
    """Compare each of the others with the reference, all on the same queries, and correct for their number.

    reference and others: float64 ``(seeds, q)`` each, NaN in all of them where a query has nothing to find; the number
    of seeds may differ. classes: int64 ``(q,)``; with 10 classes or more, whole classes are drawn, and change sign
    together. Raises DataError for values that do not belong to the same queries.
    """
    middles = np.column_stack([values.mean(axis=0) for values in (reference, *others)])
    differences = middles[:, 1:] - middles[:, :1]
    if not others:
        return []
    sums, sizes = units(differences, classes)
    p = sign_flip_test(sums, resamples=resamples, seed=seed)
    corrected = holm(p)
    smallest = detectable_difference(standard_errors(sums, sizes), len(sizes))
    columns = np.concatenate([reference, *others]).T
    means = seeds_by_queries(columns, classes, [len(v) for v in (reference, *others)], resamples=resamples, seed=seed)
    low, high = interval(means[:, 1:] - means[:, :1], len(sizes))
    found = []
    for i in range(len(others)):
        by_class = class_means(differences[:, i], classes)
        found.append(
            Comparison(
                difference=float(np.nanmean(differences[:, i])),
                low=float(low[i]),
                high=float(high[i]),
                p=float(p[i]),
                p_holm=float(corrected[i]),
                detectable=float(smallest[i]),
                wins=int((by_class > 0).sum()),
                losses=int((by_class < 0).sum()),
            )
        )
    return found


def sign_flip_test(sums: Floats, *, resamples: int = RESAMPLES, seed: int = 0) -> Floats:
    """Return the two-sided p of the paired permutation test for each comparison, float64 ``(comparisons,)``.

    sums: float64 ``(units, comparisons)``, the differences of a unit's queries, added. If two methods are alike, either
    could have been called the first, unit by unit: every sign is as likely as the other. p is the share of sign
    patterns whose sum is at least as far from 0 as the one found: of all patterns for up to 13 units, where p cannot
    be below 2 / 2^units; else (b + 1) / (m + 1) for b of m drawn ones. Comparisons share the drawn patterns. Source:
    Fisher, The Design of Experiments, 1935; Phipson and Smyth, SAGMB 9(1), 2010, for the + 1; Smucker, Allan and
    Carterette, CIKM 2007, for retrieval.
    """
    sums = sums[(sums != 0).any(axis=1)]  # a zero has no sign
    scale = np.abs(sums).sum(axis=0)
    limit = np.abs(sums.sum(axis=0)) - 1e-12 * scale  # patterns that differ from the one found by rounding only count
    count = len(sums)
    reached = np.zeros(sums.shape[1])
    if count <= _EXACT_UNITS:
        patterns = 2.0 * (np.arange(2**count)[:, None] >> np.arange(count) & 1) - 1
        reached = (np.abs(patterns @ sums) >= limit).sum(axis=0)
        return np.asarray(reached / len(patterns), dtype=np.float64)
    rng = np.random.default_rng((seed, 5))
    step = max(1, _BLOCK // count)
    for first in range(0, resamples, step):
        rows = min(step, resamples - first)
        bits = np.unpackbits(rng.integers(0, 256, (rows, -(-count // 8)), dtype=np.uint8), axis=1, count=count)
        reached += (np.abs((2.0 * bits - 1) @ sums) >= limit).sum(axis=0)
    return np.asarray((reached + 1) / (resamples + 1), dtype=np.float64)


def smallest_p(drawn: int, resamples: int = RESAMPLES) -> float:
    """Return the smallest p that the permutation test of so many units can give."""
    return 2.0 ** min(0, 1 - drawn) if drawn <= _EXACT_UNITS else 1 / (resamples + 1)


def holm(p: Floats) -> Floats:
    """Return Holm's step-down adjusted p-values, float64 as given: the i-th smallest times (m - i + 1), never falling.

    The chance of any false rejection stays below the level. Source: Holm, Scandinavian J. of Statistics 6(2), 1979.
    """
    order = np.argsort(p, kind="stable")
    raised = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(raised, 1.0)
    return adjusted


def standard_errors(sums: Floats, sizes: Floats) -> Floats:
    """Return the standard error of each comparison's mean difference, float64 ``(comparisons,)``; NaN for one unit.

    sums ``(units, comparisons)`` and sizes ``(units,)`` as ``statistics.units`` gives them. The linearised ratio
    estimate; for units of one size the textbook's standard deviation / sqrt(units).
    """
    count = len(sizes)
    if count < 2:
        return np.full(sums.shape[1], np.nan)
    residuals = sums - sizes[:, None] * (sums.sum(axis=0) / sizes.sum())
    return np.asarray(np.sqrt((residuals**2).sum(axis=0) * count / (count - 1)) / sizes.sum(), dtype=np.float64)


def detectable_difference(standard_error: Floats, drawn: int) -> Floats:
    """Return the smallest true difference that a paired test at 5 % finds with 80 % power, in the metric's own unit.

    standard_error: float64, of the mean difference of so many units. It solves the power of the two-sided paired t-test
    (noncentral t) for the shift; the permutation test's is nearly the same. About 2.8 standard errors for many units,
    3.1 for ten. Source: Cohen, Statistical Power Analysis for the Behavioral Sciences, 1988.
    """
    if drawn < 2:
        return np.full(np.shape(standard_error), np.nan)
    limit = special.stdtrit(drawn - 1, 1 - ALPHA / 2)
    # a rejection on the wrong side is left out: with 80 % power its chance is below 0.00001
    return np.asarray(standard_error * special.nctdtrinc(drawn - 1, 1 - POWER, limit), dtype=np.float64)


def class_means(values: Floats, classes: Ints) -> Floats:
    """Return the mean of each class in the order of ``np.unique(classes)``, float64; NaN where no query has a value."""
    found, member = np.unique(classes, return_inverse=True)
    has = ~np.isnan(values)
    sizes = np.bincount(member[has], minlength=len(found))
    sums = np.bincount(member[has], weights=values[has], minlength=len(found))
    means = np.full(len(found), np.nan)
    means[sizes > 0] = sums[sizes > 0] / sizes[sizes > 0]
    return means


def most_changed(difference: Floats, count: int) -> Ints:
    """Return the rows of the queries with the largest differences either way, int64, largest first; none that is 0.

    difference: float64 ``(q,)``; NaN (nothing to find) is left out. Equal ones stand in the queries' order.
    """
    size = np.nan_to_num(np.abs(difference))
    order = np.argsort(-size, kind="stable")[:count]
    return np.asarray(order[size[order] > 0], dtype=np.int64)


def drawn_as(values: Floats, classes: Ints) -> str:
    """Return what is drawn and changes sign together, in words: ``classes`` or ``queries``.

    values: float64 ``(q,)``; a query without one (NaN) is not drawn, nor a class of none but such.
    """
    return "classes" if len(np.unique(classes[~np.isnan(values)])) >= MIN_CLUSTERS else "queries"


def check_same_queries(names: Sequence[str], values: Sequence[Floats]) -> None:
    """Raise DataError unless all have a value for the same queries. names: one each; values: ``(seeds, q)`` each."""
    first = np.isnan(values[0][0])
    for name, found in zip(names, values, strict=True):
        if (np.isnan(found) != first).any():
            raise DataError(f"{name} has values for other queries than {names[0]}: they cannot be compared")
