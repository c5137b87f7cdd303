"""Do methods differ on the same queries? Each against a reference, corrected for how many were tried."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import stats

from bench.contract import DataError
from bench.evaluation.ranking.arrays import Floats, Ints
from bench.evaluation.statistics.estimates import ALPHA, Estimate, Measured, detectable_difference, difference


@dataclass(frozen=True)
class Comparison:
    """One method against a reference on one metric: what is reported of them.

    difference: the method's mean over seeds less the reference's; low, high: its 95 % interval, images (or classes) and
    seeds drawn anew; p: two-sided, of the t test behind that interval; p_corrected: for all comparisons made together;
    detectable: the smallest true difference that the test finds in 80 % of such query sets at 5 %, before correction.
    """

    difference: float
    low: float
    high: float
    p: float
    p_corrected: float
    detectable: float

    @property
    def separable(self) -> bool:
        """Whether the two differ significantly at 5 %, corrected."""
        return self.p_corrected <= ALPHA


def compare(reference: Measured, others: Sequence[Measured]) -> list[Comparison]:
    """Compare each of the others with a reference that was named before anybody looked; Holm-corrected."""
    found = [difference(one, reference) for one in others]
    return _comparisons(found, holm(np.array([one.p for one in found])))


def compare_with_best(best: Measured, others: Sequence[Measured], rows: int | None = None) -> list[Comparison]:
    """Compare each of the others with the one that turned out best.

    rows: how many the best was chosen from; by default these. Being chosen makes the best look better than it is: of 14
    like methods, some row would be told from the best in one table of six. p is therefore that of the range of as many
    means: Games and Howell's test, which is Tukey's for unequal variances (J. of Educational Statistics 1(2), 1976).
    """
    found = [difference(one, best) for one in others]
    return _comparisons(found, np.array([games_howell(one, rows or len(others) + 1) for one in found]))


def games_howell(found: Estimate, rows: int) -> float:
    """Return the p of a difference between two of so many means."""
    if math.isinf(found.t) or found.p >= 1 or rows < 3:
        return found.p
    return _range_p(round(abs(found.t) * math.sqrt(2), 4), rows, round(found.freedom, 1))


@lru_cache(maxsize=1024)
def _range_p(q: float, rows: int, freedom: float) -> float:
    return float(min(1.0, max(0.0, stats.studentized_range.sf(q, rows, freedom))))


def holm(p: Floats) -> Floats:
    """Return Holm's step-down adjusted p-values, float64 as given: the i-th smallest times (m - i + 1), never falling.

    The chance of any false rejection stays below the level. Source: Holm, Scandinavian J. of Statistics 6(2), 1979.
    """
    order = np.argsort(p, kind="stable")
    raised = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(raised, 1.0)
    return adjusted


def _comparisons(found: Sequence[Estimate], corrected: Floats) -> list[Comparison]:
    return [
        Comparison(one.mean, one.low, one.high, one.p, float(p), detectable_difference(one))
        for one, p in zip(found, corrected, strict=True)
    ]


def most_changed(difference: Floats, count: int) -> Ints:
    """Return the rows of the queries with the largest differences either way, int64, largest first; none that is 0.

    difference: float64 ``(q,)``; NaN (nothing to find) is left out. Equal ones stand in the queries' order.
    """
    size = np.nan_to_num(np.abs(difference))
    order = np.argsort(-size, kind="stable")[:count]
    return np.asarray(order[size[order] > 0], dtype=np.int64)


def check_same_queries(names: Sequence[str], values: Sequence[Floats]) -> None:
    """Raise DataError unless all have a value for the same queries. names: one each; values: ``(seeds, q)`` each."""
    first = np.isnan(values[0][0])
    for name, found in zip(names, values, strict=True):
        if (np.isnan(found) != first).any():
            raise DataError(f"{name} has values for other queries than {names[0]}: they cannot be compared")
