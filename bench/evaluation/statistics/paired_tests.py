"""Do methods differ on the same queries? Each against a reference, corrected for how many were tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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
    return compare_named([difference(one, reference) for one in others])


def compare_named(found: Sequence[Estimate]) -> list[Comparison]:
    """Return differences from a reference that was named before anybody looked as comparisons, Holm-corrected."""
    return _comparisons(found, holm(np.array([one.p for one in found])))


def compare_with_best(best: Measured, others: Sequence[Measured], rows: int | None = None) -> list[Comparison]:
    """Compare each of the others with the one that turned out best, corrected for that choice.

    rows: how many the best was chosen from; by default these.
    """
    return compare_chosen([difference(one, best) for one in others], rows or len(others) + 1)


def compare_chosen(found: Sequence[Estimate], rows: int) -> list[Comparison]:
    """Return differences from the best of so many rows as comparisons, corrected for that choice."""
    return _comparisons(found, over_all_pairs(np.array([one.p for one in found]), rows))


def over_all_pairs(p: Floats, rows: int) -> Floats:
    """Return p-values times the number of pairs of so many rows, float64 as given (Bonferroni).

    Whichever row turns out best, its pairs are among these. Without it some of 14 like rows would be told from the best
    in one table of six. Games and Howell's test, which asks for less, tells one in seven apart where there are 14 rows
    and five draws: it takes the variances of its pairs for better known than they are.
    """
    return np.asarray(np.minimum(p * (rows * (rows - 1) / 2), 1.0), dtype=np.float64)


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
