"""How sure a mean over queries is: percentile bootstrap, clustered by class where there are enough classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from bench.contract import DataError
from bench.evaluation.arrays import Floats, Ints

RESAMPLES = 10_000
MIN_CLUSTERS = 10  # with fewer classes, resampling them says little; queries are resampled instead
_BLOCK_DRAWS = 1 << 20  # draws that are held at once


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

    Arguments are those of ``bootstrap_means``. The ends are the 2.5 % and 97.5 % quantiles (linear interpolation) of
    the resampled means. A single query gives an interval of width 0.
    """
    means = bootstrap_means(values, classes, resamples=resamples, seed=seed)
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    return {name: (float(low[i]), float(high[i])) for i, name in enumerate(values)}


def bootstrap_means(
    values: Mapping[str, Floats], classes: Ints | None = None, *, resamples: int = RESAMPLES, seed: int = 0
) -> Floats:
    """Return the means of resampled queries, float64 ``(resamples, metrics)``, the same resample for every metric.

    values: float64 ``(q,)`` each, finite; queries that are NaN (nothing to find) must be NaN in all of them and are
    left out. classes: int64 ``(q,)`` or None; with 10 classes or more, whole classes are drawn with replacement and
    their queries pooled, for queries of one class err together. The mean of the difference of two methods' values
    gives their paired bootstrap. Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993; Field and
    Welsh, JRSS B 69(3), 2007, for the clustered one.
    """
    table = np.column_stack([np.asarray(column, dtype=np.float64) for column in values.values()])
    missing = np.isnan(table)
    if (missing.any(axis=1) != missing.all(axis=1)).any() or np.isinf(table).any():
        raise DataError("the bootstrap needs the same queries in every metric, and finite values")
    keep = ~missing.any(axis=1)
    if not keep.any():
        raise DataError("the bootstrap needs at least one query with a value")
    sums, sizes = _units(table[keep], None if classes is None else classes[keep])
    counts = _counts(len(sizes), resamples, np.random.default_rng((seed, 3)))
    return np.concatenate([(drawn @ sums) / (drawn @ sizes)[:, None] for drawn in counts])


def _units(table: Floats, classes: Ints | None) -> tuple[Floats, Floats]:
    """Return what is resampled: its sum of values ``(units, metrics)`` and its number of queries ``(units,)``."""
    if classes is None:
        return table, np.ones(len(table))
    found, member = np.unique(classes, return_inverse=True)
    if len(found) < MIN_CLUSTERS:
        return table, np.ones(len(table))
    sums: Floats = np.column_stack([np.bincount(member, weights=column).astype(np.float64) for column in table.T])
    return sums, np.bincount(member).astype(np.float64)


def _counts(units: int, resamples: int, rng: np.random.Generator) -> Iterator[Floats]:
    """Yield how often each unit was drawn, float64 ``(some resamples, units)``, until there are enough rows."""
    step = max(1, _BLOCK_DRAWS // units)
    for first in range(0, resamples, step):
        rows = min(step, resamples - first)
        drawn = rng.integers(0, units, size=(rows, units)) + np.arange(rows)[:, None] * units
        yield np.bincount(drawn.ravel(), minlength=rows * units).reshape(rows, units).astype(np.float64)
