"""Vectors that are not worth scoring are refused or flagged."""

from __future__ import annotations

import numpy as np
import pytest

from bench.contract import DataError, MethodError
from bench.evaluation.metrics.collapse import (
    effective_rank,
    inspect_sample,
    mean_pairwise_cosine,
    sample_rows,
)
from bench.evaluation.ranking.rows import check_vectors, normalize_rows, refuse_bad_rows, refuse_overflow, row_norms


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


def test_the_effective_rank_of_k_even_directions_is_k() -> None:
    for k in (1, 2, 5):
        assert effective_rank(np.tile(np.eye(8)[:k], (30, 1))) == pytest.approx(k, rel=1e-6)


def test_the_effective_rank_is_that_of_the_singular_values_for_tall_and_wide_matrices() -> None:
    for shape in ((50, 9), (9, 50)):
        vectors = np.random.default_rng(1).standard_normal(shape)
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        share = np.linalg.svd(unit, compute_uv=False)
        share /= share.sum()
        assert effective_rank(vectors) == pytest.approx(np.exp(-(share * np.log(share)).sum()), rel=1e-9)


def test_the_mean_cosine_is_that_of_all_pairs() -> None:
    vectors = np.random.default_rng(2).standard_normal((20, 4)) + 1
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = [unit[i] @ unit[j] for i in range(20) for j in range(i)]
    assert mean_pairwise_cosine(vectors) == pytest.approx(np.mean(pairs))


def test_collapse_is_seen_in_constant_and_in_one_dimensional_vectors_and_not_in_random_ones() -> None:
    rng = np.random.default_rng(3)
    assert inspect_sample(np.ones((100, 8)) + 1e-4 * rng.standard_normal((100, 8))).collapsed
    assert inspect_sample(np.outer(rng.choice([-1, 1], 100), np.ones(8))).collapsed
    assert not inspect_sample(rng.standard_normal((100, 8))).collapsed


def test_one_vector_alone_is_not_called_collapsed() -> None:
    health = inspect_sample(np.ones((1, 4)))
    assert not health.collapsed
    assert np.isnan(health.mean_pairwise_cosine)


def test_a_sample_is_seeded_sorted_and_without_repeats() -> None:
    rows = sample_rows(50_000, 0)
    assert len(np.unique(rows)) == 2_000
    assert (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(rows, sample_rows(50_000, 0))
    assert (rows != sample_rows(50_000, 1)).any()
    np.testing.assert_array_equal(sample_rows(5, 0), np.arange(5))
