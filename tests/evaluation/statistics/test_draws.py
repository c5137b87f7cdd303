"""Intervals and differences over draws against the textbook, and how often like methods are told apart."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bench.evaluation.ranking.arrays import Floats
from bench.evaluation.statistics.estimates import over_draws
from bench.evaluation.statistics.paired_tests import Comparison, compare_chosen

MEANS = np.array([0.845, 0.692, 0.725, 0.691, 0.603, 0.779])


def compared(best: Floats, other: Floats, *, rows: int) -> Comparison:
    return compare_chosen([over_draws(other - best)], rows)[0]


def test_the_interval_is_student_s_t_of_the_draws() -> None:
    expected = stats.t.interval(0.95, 5, MEANS.mean(), stats.sem(MEANS))
    found = over_draws(MEANS)
    assert (found.low, found.high) == pytest.approx(expected)


def test_two_rows_are_compared_by_the_paired_t_test() -> None:
    other = MEANS - np.array([0.02, 0.01, 0.03, 0.02, 0.01, 0.02])
    found = compared(MEANS, other, rows=2)
    assert found.p == pytest.approx(stats.ttest_rel(MEANS, other).pvalue)
    assert found.p_corrected == found.p  # two rows are one pair
    assert found.separable


def test_more_rows_to_choose_the_best_from_make_the_test_stricter() -> None:
    other = MEANS - np.array([0.02, 0.0, 0.03, 0.02, -0.01, 0.02])
    two, ten = (compared(MEANS, other, rows=rows).p_corrected for rows in (2, 10))
    assert two < ten


def test_equal_rows_are_never_told_apart() -> None:
    assert compared(MEANS, MEANS.copy(), rows=3).p_corrected == 1.0


@pytest.mark.parametrize(("rows", "draws"), [(2, 3), (6, 3), (14, 5), (14, 10)])
def test_like_rows_are_told_from_the_best_of_them_in_no_more_than_6_percent_of_tables(rows: int, draws: int) -> None:
    rng, false = np.random.default_rng(1), 0
    for _ in range(300):
        values = rng.normal(0.7, 0.08, draws) + rng.normal(0, 0.01, (rows, draws))
        best, *others = values[np.argsort(-values.mean(axis=1))]
        false += any(compared(best, other, rows=rows).separable for other in others)
    assert false <= 0.06 * 300
