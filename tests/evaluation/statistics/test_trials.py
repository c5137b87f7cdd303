"""A fast part of the trials on simulated rankings; all of them are in docs/design/statistics-trials.md."""

from __future__ import annotations

import pytest

from tests.evaluation.statistics.trials import Cell, alike, best_of

TRIALS = 40  # so few that 95 % may look like 85 %


@pytest.mark.parametrize(
    "cell", [Cell("loo", 2, 100), Cell("holdout", 5, 150), Cell("loo", 5, 100, other=True)], ids=str
)
def test_like_embeddings_are_seldom_told_apart_and_intervals_hold_the_mean(cell: Cell) -> None:
    found = alike(cell, TRIALS)
    assert found.false <= 0.15  # 28 to 34 % by resampling queries
    assert found.covered >= 0.85  # 75 to 82 % by resampling queries


def test_no_row_of_a_table_of_like_methods_is_told_from_the_best_more_often_than_stated() -> None:
    assert best_of(6, 15) <= 0.15
