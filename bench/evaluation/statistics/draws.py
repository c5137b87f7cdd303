"""Several draws of the images: intervals from the spread over draws, and differences paired within each draw.

A draw is another half of the classes to test on. What is estimated is the mean over draws of one collection; draws that
share classes are alike, so that an interval over many of them says little of classes that the collection does not have.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from bench.evaluation.ranking.arrays import Floats
from bench.evaluation.statistics.paired_tests import ALPHA, Comparison, detectable_difference


def interval_over_draws(means: Floats) -> tuple[float, float]:
    """Return the 95 % interval of the mean over draws: Student's t with one degree of freedom less than draws.

    Args:
        means: Float64 ``(draws,)``, two at least: each draw's mean over queries and seeds.

    Returns:
        Its ends.
    """
    half = special.stdtrit(len(means) - 1, 1 - ALPHA / 2) * _standard_error(means)
    return float(means.mean() - half), float(means.mean() + half)


def compare_over_draws(reference: Floats, values: Floats, *, rows: int) -> Comparison:
    """Compare a row with the best of its table by their differences within each draw.

    Args:
        reference: Float64 ``(draws,)`` of the best, two draws at least.
        values: Those of the other row, of the same draws in the same order.
        rows: How many rows the best was chosen among, itself included.

    Returns:
        The comparison: ``wins`` and ``losses`` count draws, ``p`` is of the paired t test, and ``p_holm`` is corrected
        for the reference being the best of all rows: Bonferroni over all pairs of rows, of which any may be the one
        that is told. (Games and Howell's studentized range, with each pair's own standard error, calls 14 % of tables
        of 14 like rows and five draws different, 18 % with three draws: too few for it.)
    """
    differences = values - reference
    free, error, mean = len(differences) - 1, _standard_error(differences), float(differences.mean())
    low, high = interval_over_draws(differences)
    p = corrected = float(mean == 0)
    if error > 0:
        p = float(2 * special.stdtr(free, -abs(mean) / error))
        corrected = min(1.0, p * rows * (rows - 1) / 2)
    return Comparison(
        difference=mean,
        low=low,
        high=high,
        p=p,
        p_holm=corrected,
        detectable=float(detectable_difference(np.array([error]), free + 1)[0]),
        wins=int((differences > 0).sum()),
        losses=int((differences < 0).sum()),
    )


def _standard_error(values: Floats) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))
