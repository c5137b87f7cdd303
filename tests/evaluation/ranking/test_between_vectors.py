"""Class means and walks: unit vectors, at even angles, on the great circle between the ends."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import geometric_slerp

from bench.contract import DataError, UsageError
from bench.evaluation.ranking.arrays import Vectors
from bench.evaluation.ranking.vectors import class_means, normalize_rows, spherical_walk


def unit(seed: int, n: int, d: int = 8) -> Vectors:
    return normalize_rows(np.random.default_rng(seed).normal(size=(n, d)), "made up")


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), steps=st.integers(2, 12))
def test_a_walk_is_scipys_geometric_slerp(seed: int, steps: int) -> None:
    first, last = unit(seed, 2)
    found = spherical_walk(first, last, steps)
    ends = [one.astype(np.float64) / np.linalg.norm(one.astype(np.float64)) for one in (first, last)]
    np.testing.assert_allclose(found, geometric_slerp(*ends, np.linspace(0, 1, steps)), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_a_walk_that_goes_nowhere_stays() -> None:
    first = unit(0, 1)[0]
    np.testing.assert_allclose(spherical_walk(first, first, 5), np.tile(first, (5, 1)), atol=1e-7)


def test_opposite_ends_and_single_steps_are_refused() -> None:
    first = unit(0, 1)[0]
    with pytest.raises(DataError, match="opposite"):
        spherical_walk(first, -first, 3)
    with pytest.raises(UsageError, match="2 steps or more"):
        spherical_walk(first, first, 1)


def test_class_means_are_normalised_means_of_the_classes_that_occur() -> None:
    vectors, labels = unit(1, 30), np.random.default_rng(1).choice([0, 2, 5], 30)
    found, means = class_means(vectors, labels)
    assert found.tolist() == [0, 2, 5]
    for number, mean in zip(found, means, strict=True):
        slow = np.mean([v for v, label in zip(vectors, labels, strict=True) if label == number], axis=0)
        np.testing.assert_allclose(mean, slow / np.linalg.norm(slow), atol=1e-6)


def test_a_class_whose_vectors_cancel_out_has_no_mean() -> None:
    vectors = np.array([[1, 0], [-1, 0]], np.float32)
    with pytest.raises(DataError, match="mean vectors"):
        class_means(vectors, np.zeros(2, np.int64))
