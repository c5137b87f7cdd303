"""Collapsed vectors are seen by their effective rank and their mean cosine."""

from __future__ import annotations

import numpy as np
import pytest

from bench.evaluation.metrics.collapse import (
    Health,
    effective_rank,
    mean_pairwise_cosine,
    sample_rows,
)


def test_the_effective_rank_of_k_even_directions_is_k() -> None:
    for k in (1, 2, 5):
        assert effective_rank(np.tile(np.eye(8)[:k], (30, 1))) == pytest.approx(k, rel=1e-6)


def test_effective_rank_equals_that_of_the_singular_values() -> None:
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


def test_collapse_is_seen_in_constant_and_one_dimensional_vectors_only() -> None:
    rng = np.random.default_rng(3)
    assert Health.of(np.ones((100, 8)) + 1e-4 * rng.standard_normal((100, 8))).collapsed
    assert Health.of(np.outer(rng.choice([-1, 1], 100), np.ones(8))).collapsed
    assert not Health.of(rng.standard_normal((100, 8))).collapsed


def test_one_vector_alone_is_not_called_collapsed() -> None:
    health = Health.of(np.ones((1, 4)))
    assert not health.collapsed
    assert np.isnan(health.mean_pairwise_cosine)


def test_a_sample_is_seeded_sorted_and_without_repeats() -> None:
    rows = sample_rows(50_000, 0)
    assert len(np.unique(rows)) == 2_000
    assert (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(rows, sample_rows(50_000, 0))
    assert (rows != sample_rows(50_000, 1)).any()
    np.testing.assert_array_equal(sample_rows(5, 0), np.arange(5))
