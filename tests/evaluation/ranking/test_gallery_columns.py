"""Rows that are equal are found, all of them and no others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.evaluation.ranking import gallery_columns as module
from bench.evaluation.ranking.gallery_columns import equal_rows


@given(st.lists(st.integers(0, 4), max_size=60), st.integers(1, 9))
def test_every_row_that_equals_an_earlier_one_is_named_with_the_first_of_its_kind(kinds: list[int], dim: int) -> None:
    distinct = np.random.default_rng(0).standard_normal((5, dim)).astype(np.float32)
    rows = distinct[np.array(kinds, np.int64)].reshape(-1, dim)
    copies, originals = equal_rows(len(rows), rows.__getitem__)
    expected = {row: kinds.index(kind) for row, kind in enumerate(kinds) if kinds.index(kind) != row}
    assert dict(zip(copies.tolist(), originals.tolist(), strict=True)) == expected


def test_the_two_zeros_are_equal() -> None:
    rows = np.array([[0.0, 1.0], [-0.0, 1.0]], np.float32)
    copies, originals = equal_rows(len(rows), rows.__getitem__)
    assert (copies.tolist(), originals.tolist()) == ([1], [0])


def test_rows_whose_hashes_meet_by_accident_are_not_taken_for_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)
    monkeypatch.setattr(module, "_hashes", lambda n, take: np.zeros(n, np.int64))
    copies, _ = equal_rows(len(rows), rows.__getitem__)
    assert len(copies) == 0


def test_equal_rows_are_found_behind_another_row_of_their_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = [0, 1, 1, 2, 0, 1]
    rows = np.random.default_rng(0).standard_normal((3, 3)).astype(np.float32)[kinds]
    monkeypatch.setattr(module, "_hashes", lambda n, take: np.array([0, 0, 0, 7, 0, 0], np.int64))
    copies, originals = equal_rows(len(rows), rows.__getitem__)
    assert dict(zip(copies.tolist(), originals.tolist(), strict=True)) == {2: 1, 4: 0, 5: 1}
