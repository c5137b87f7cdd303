"""Cuts are disjoint, complete, stratified, seeded, and leave numpy's own random state alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bench.contract import UsageError
from bench.data.splits.splits import stratified_cut, stratified_limit

label_lists = st.lists(st.integers(0, 8), min_size=1, max_size=120).map(lambda found: np.array(found, np.int64))
fractions = st.floats(0.01, 0.99)
seeds = st.integers(0, 2**32)


def counts(labels: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.bincount(labels[rows], minlength=9)


@settings(deadline=None)  # the machine may be busy with something else
@given(label_lists, fractions, seeds)
def test_the_two_sides_are_disjoint_complete_and_in_order(
    labels: NDArray[np.int64], fraction: float, seed: int
) -> None:
    rest, taken = stratified_cut(labels, fraction, seed)
    assert sorted([*rest, *taken]) == list(range(len(labels)))
    assert (np.diff(rest) > 0).all()
    assert (np.diff(taken) > 0).all()


@settings(deadline=None)  # the machine may be busy with something else
@given(label_lists, fractions, seeds)
def test_each_class_gives_its_share_to_within_one_image(labels: NDArray[np.int64], fraction: float, seed: int) -> None:
    rest, taken = stratified_cut(labels, fraction, seed)
    whole = np.bincount(labels, minlength=9)
    assert (np.abs(counts(labels, taken) - whole * fraction) <= 1 + 1e-6).all()
    assert (counts(labels, rest)[whole > 0] >= 1).all()


@settings(deadline=None)  # the machine may be busy with something else
@given(label_lists, fractions, seeds, st.booleans())
def test_at_least_one_image_a_class_is_taken_where_it_has_two(
    labels: NDArray[np.int64], fraction: float, seed: int, lone_taken: bool
) -> None:
    rest, taken = stratified_cut(labels, fraction, seed, least=1, lone_taken=lone_taken)
    whole = np.bincount(labels, minlength=9)
    assert (counts(labels, taken)[whole >= 2] >= 1).all()
    assert (counts(labels, rest)[whole >= 2] >= 1).all()
    assert (counts(labels, taken)[whole == 1] == lone_taken).all()


@settings(deadline=None)  # the machine may be busy with something else
@given(st.integers(1, 40), st.integers(1, 20), seeds)
def test_the_whole_is_as_near_to_its_share_as_the_classes_allow(classes: int, each: int, seed: int) -> None:
    labels = np.repeat(np.arange(classes), each + 1)
    _, taken = stratified_cut(labels, 0.1, seed)
    assert abs(len(taken) - min(len(labels) * 0.1, classes * each)) <= 0.5 + 1e-6


@settings(deadline=None)  # the machine may be busy with something else
@given(label_lists, fractions, seeds)
def test_the_same_seed_gives_the_same_cut_whatever_numpys_global_state(
    labels: NDArray[np.int64], fraction: float, seed: int
) -> None:
    np.random.seed(1)
    first = stratified_cut(labels, fraction, seed)
    state = np.random.get_state(legacy=False)["state"]["key"]
    np.random.seed(2)
    second = stratified_cut(labels, fraction, seed)
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    np.random.seed(1)
    np.testing.assert_array_equal(state, np.random.get_state(legacy=False)["state"]["key"])


def test_another_seed_gives_another_cut() -> None:
    labels = np.repeat(np.arange(3), 50)
    assert stratified_cut(labels, 0.5, 0)[1].tolist() != stratified_cut(labels, 0.5, 1)[1].tolist()


def test_exact_shares_are_exact() -> None:
    labels = np.repeat(np.arange(10), 100)
    for percent in range(1, 100):
        _, taken = stratified_cut(labels, percent / 100, 0)
        assert np.bincount(labels[taken]).tolist() == [percent] * 10


@settings(deadline=None)  # the machine may be busy with something else
@given(label_lists, st.integers(4, 150), seeds)
def test_a_limit_holds_and_every_class_that_stays_can_be_found(
    labels: NDArray[np.int64], limit: int, seed: int
) -> None:
    kept = stratified_limit(labels, limit, seed)
    whole, left = np.bincount(labels, minlength=9), counts(labels, kept)
    assert len(kept) <= limit
    assert (np.diff(kept) > 0).all()
    assert ((left == 0) | (left >= np.minimum(2, whole))).all()
    if len(labels) <= limit:
        assert len(kept) == len(labels)
    elif limit >= 2 * len(np.unique(labels)):
        assert len(kept) == limit
        assert (left[whole > 0] > 0).all()


def test_a_limit_keeps_the_proportions_of_the_classes() -> None:
    labels = np.repeat([0, 1], [9_000, 1_000])
    assert np.bincount(labels[stratified_limit(labels, 100, 0)]).tolist() == [90, 10]


@settings(deadline=None)  # the machine may be busy with something else
@given(seeds)
def test_a_limit_too_low_for_all_classes_keeps_the_same_ones_in_every_part(seed: int) -> None:
    train, test = np.repeat(np.arange(50), 20), np.tile(np.arange(50), 7)
    kept = set(train[stratified_limit(train, 20, seed)].tolist())
    assert len(kept) == 10
    assert kept == set(test[stratified_limit(test, 20, seed)].tolist())


def test_impossible_requests_are_refused() -> None:
    labels = np.zeros(9, np.int64)
    for fraction in (0.0, 1.0, -0.1, float("nan")):
        with pytest.raises(UsageError, match="must lie between 0 and 1"):
            stratified_cut(labels, fraction, 0)
    with pytest.raises(UsageError, match="split seed must be 0 or more, got -1"):
        stratified_cut(labels, 0.5, -1)
    with pytest.raises(UsageError, match="limit of 3 images is too low"):
        stratified_limit(labels, 3, 0)


def test_an_empty_part_is_cut_into_two_empty_parts() -> None:
    rest, taken = stratified_cut(np.zeros(0, np.int64), 0.5, 0)
    assert len(rest) == len(taken) == 0
