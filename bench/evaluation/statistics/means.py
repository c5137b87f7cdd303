"""Means over the queries of each class."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bench.evaluation.ranking.arrays import Floats, Ints


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
