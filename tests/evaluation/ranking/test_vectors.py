"""Vectors are checked and scaled row by row; rows that are equal are found, all of them and no others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.contract import DataError, MethodError
from bench.evaluation.ranking import vectors as module
from bench.evaluation.ranking.vectors import (
    check_vectors,
    equal_rows,
    normalize_rows,
    refuse_bad_rows,
    refuse_overflow,
    row_norms,
)


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


def test_lengths_are_those_of_float64_however_long_or_short_the_vector() -> None:
    vectors = np.array([[3e38, 3e38], [1e-44, 0], [3, 4]], dtype=np.float32)
    np.testing.assert_allclose(row_norms(vectors), np.linalg.norm(vectors.astype(np.float64), axis=1))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_numbers_are_counted_and_the_first_is_named(value: float) -> None:
    vectors = np.ones((10, 3), dtype=np.float32)
    vectors[[4, 7], 1] = value
    with pytest.raises(DataError, match="query vectors: 2 of 10 rows are not finite, the first is row 4"):
        refuse_bad_rows(row_norms(vectors), "query vectors")


def test_rows_of_zeros_are_refused_with_the_error_that_was_asked_for() -> None:
    vectors = np.ones((10, 3), dtype=np.float32)
    vectors[9] = 0
    with pytest.raises(MethodError, match=r"Broken\.embed: 1 of 10 rows are all zero, the first is row 9"):
        normalize_rows(vectors, "Broken.embed", MethodError)


def test_a_float64_value_beyond_float32_counts_as_infinite() -> None:
    with pytest.raises(DataError, match="1 of 1 rows are not finite"):
        check_vectors(np.array([[1e300]]), "query vectors", normalize=True)


def test_normalised_rows_have_unit_length_and_the_source_is_not_written_to() -> None:
    source = np.random.default_rng(0).standard_normal((1_000, 7)).astype(np.float32) * 1e3
    before = source.copy()
    unit = normalize_rows(source, "test")
    assert unit.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(unit.astype(np.float64), axis=1), 1, atol=1e-7)
    np.testing.assert_array_equal(source, before)


def test_unscaled_vectors_whose_products_overflow_are_refused() -> None:
    rows = check_vectors(np.full((2, 2), 1e30), "test", normalize=False)
    with pytest.raises(DataError, match="use normalize=True"):
        refuse_overflow(rows, rows)
