"""How sure a mean over queries is: the bootstrap, clustered by class where there are enough classes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from scipy import special

from bench.contract import DataError
from bench.evaluation.ranking.arrays import Floats, Ints

RESAMPLES = 10_000
MIN_CLUSTERS = 10  # with fewer classes, resampling them says little; queries are resampled instead
_BLOCK_DRAWS = 1 << 18  # draws that are held at once: 2 MB, so that they and their counts stay in a processor's cache


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


def ci95(
    values: Mapping[str, Floats], classes: Ints | None = None, *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Return the percentile bootstrap 95 % interval of the mean of each metric.

    values: float64 ``(q,)`` each, finite; queries that are NaN (nothing to find) must be NaN in all of them and are
    left out. classes: int64 ``(q,)`` or None; see ``units``. The ends are quantiles (linear interpolation) of the
    resampled means: 2.5 % and 97.5 % where many units are drawn, further out where few are (``tail``). One unit gives
    width 0. Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993.
    """
    sums, sizes = units(np.column_stack(list(values.values())), classes)
    low, high = interval(_means(sums, sizes, resamples, seed), len(sizes))
    return {name: (float(low[i]), float(high[i])) for i, name in enumerate(values)}


def interval(means: Floats, drawn: int) -> tuple[Floats, Floats]:
    """Return the ends of the 95 % interval of resampled means ``(resamples, metrics)``, each of ``drawn`` units."""
    low, high = np.quantile(means, [tail(drawn), 1 - tail(drawn)], axis=0)
    return low, high


def tail(drawn: int) -> float:
    """Return the share of resampled means below the interval: 0.025 for many units, less for few.

    A resampled mean of n units spreads by sqrt((n - 1) / n) too little, and its normal tails are those of a known
    spread. Both are made good by moving the quantile from that of z to that of sqrt(n / (n - 1)) t with n - 1 degrees
    of freedom: 0.0086 for 10 units, 0.0212 for 50, 0.0250 for 10,000. Source: the expanded percentile interval of
    Hesterberg, What Teachers Should Know about the Bootstrap, The American Statistician 69(4), 2015.
    """
    if drawn < 2:  # one unit has no spread; any quantile is its value
        return 0.025
    return float(special.ndtr(math.sqrt(drawn / (drawn - 1)) * special.stdtrit(drawn - 1, 0.025)))


def units(table: Floats, classes: Ints | None) -> tuple[Floats, Floats]:
    """Return what is drawn, classes or queries: sums of values ``(units, metrics)``, numbers of queries ``(units,)``.

    table: float64 ``(q, metrics)``, finite, or NaN in a whole row, which is left out. classes: int64 ``(q,)`` or None;
    with 10 classes or more, whole classes are drawn with replacement and their queries pooled, for queries of one class
    err together. Raises DataError where no query has values, or one has only some. Source: Field and Welsh, JRSS B
    69(3), 2007, for the clustered bootstrap.
    """
    missing = np.isnan(table)
    if (missing.any(axis=1) != missing.all(axis=1)).any() or np.isinf(table).any():
        raise DataError("the bootstrap needs the same queries in every metric, and finite values")
    keep = ~missing.any(axis=1)
    if not keep.any():
        raise DataError("the bootstrap needs at least one query with a value")
    table = table[keep]
    found, member = np.unique(classes[keep], return_inverse=True) if classes is not None else ((), ())
    if len(found) < MIN_CLUSTERS:
        return table, np.ones(len(table))
    sums: Floats = np.column_stack([np.bincount(member, weights=column).astype(np.float64) for column in table.T])
    return sums, np.bincount(member).astype(np.float64)


def seeds_by_queries(
    columns: Floats, classes: Ints | None, seeds: Sequence[int], *, resamples: int = RESAMPLES, seed: int = 0
) -> Floats:
    """Return the means of entries with several seeds, with both seeds and queries drawn anew: two-way resampling.

    columns: float64 ``(q, runs)``, a run's value for every query, an entry's seeds side by side; seeds: how many runs
    each entry has. Returns float64 ``(resamples, entries)``. All runs share a resample's queries (or classes, see
    ``units``); every entry draws its seeds by itself. The mean of S drawn seeds spreads by sqrt((S - 1) / S)
    too little, so its distance from the mean of all S is stretched by the inverse; one seed says nothing about
    others, and only the queries are drawn. Source: Owen, The pigeonhole bootstrap, Annals of Applied Statistics 1(2),
    2007; Rao and Wu, JASA 83(401), 1988, for the stretching.
    """
    means = _means(*units(columns, classes), resamples, seed)
    rng = np.random.default_rng((seed, 4))
    found = np.empty((resamples, len(seeds)))
    first = 0
    for entry, count in enumerate(seeds):
        runs = means[:, first : first + count]
        first += count
        middle = runs.mean(axis=1)
        found[:, entry] = middle
        if count > 1:
            weights = rng.multinomial(count, np.full(count, 1 / count), size=resamples) / count
            found[:, entry] += math.sqrt(count / (count - 1)) * ((weights * runs).sum(axis=1) - middle)
    return found


def _means(sums: Floats, sizes: Floats, resamples: int, seed: int) -> Floats:
    """Return the mean of every resample, float64 ``(resamples, metrics)``."""
    both = np.column_stack([sums, sizes])
    totals = [counts @ both for counts in _counts(len(sizes), resamples, np.random.default_rng((seed, 3)))]
    return np.concatenate([total[:, :-1] / total[:, -1:] for total in totals])


def _counts(drawn: int, resamples: int, rng: np.random.Generator) -> Iterator[Floats]:
    """Yield how often each unit was drawn, float64 ``(some resamples, units)``, until there are enough rows.

    The array is used again for the next rows. A bincount a row is faster than one of all rows, which leaves the cache.
    """
    step = max(1, _BLOCK_DRAWS // drawn)
    counts = np.empty((min(step, resamples), drawn))
    for first in range(0, resamples, step):
        rows = min(step, resamples - first)
        for row, chosen in enumerate(rng.integers(0, drawn, size=(rows, drawn))):
            counts[row] = np.bincount(chosen, minlength=drawn)
        yield counts[:rows]
