"""Who leaves together, and what is made of the scores without them, against plain loops and the textbook."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.evaluation.ranking.arrays import Ints
from bench.evaluation.statistics.jackknife import (
    GROUPS,
    Groups,
    Replicates,
    groups_of_classes,
    groups_of_images,
    queries_left_out,
    standard_error,
)

NOBODY = np.empty(0, dtype=np.int64)


def loo(labels: Ints) -> Groups:
    """The groups where every image is asked for among all others."""
    images = np.arange(len(labels))
    return groups_of_images((labels, labels), (images, images))


@given(st.lists(st.integers(0, 30), min_size=1, max_size=60), st.lists(st.integers(0, 30), min_size=1, max_size=60))
def test_all_rows_of_an_image_are_in_one_group_on_both_sides(query: list[int], gallery: list[int]) -> None:
    sides = np.array(query), np.array(gallery)
    found = groups_of_images((sides[0] % 3, sides[1] % 3), sides)
    pairs = {*zip(sides[0].tolist(), found.query.tolist(), strict=True)}
    pairs |= {*zip(sides[1].tolist(), found.gallery.tolist(), strict=True)}
    images = {image for image, _ in pairs}
    assert len(pairs) == len(images)
    sizes = np.bincount([group for _, group in pairs])
    assert found.count == len(sizes) == min(GROUPS, len(images))
    assert sizes.max() - sizes.min() <= 1


@given(st.lists(st.integers(0, 4), min_size=25, max_size=200))
def test_every_group_holds_as_many_images_of_each_class_as_another_within_one(labels: list[int]) -> None:
    found = loo(np.array(labels))
    np.testing.assert_array_equal(found.query, found.gallery)
    for label in set(labels):
        sizes = np.bincount(found.query[np.array(labels) == label], minlength=GROUPS)
        assert sizes.max() - sizes.min() <= 1


def test_queries_and_gallery_are_both_spread_over_the_groups() -> None:
    """One query to four items of each class, and no image on both sides."""
    labels = np.repeat(np.arange(5), 40), np.repeat(np.arange(5), 160)
    found = groups_of_images(labels, (np.arange(200), np.arange(200, 1000)))
    for label in range(5):
        assert set(np.bincount(found.query[labels[0] == label], minlength=GROUPS)) == {2}
        assert set(np.bincount(found.gallery[labels[1] == label], minlength=GROUPS)) == {8}


def test_another_seed_deals_images_otherwise_and_the_same_seed_alike() -> None:
    labels, images = np.zeros(100, dtype=np.int64), np.arange(100)
    one, same, other = (groups_of_images((labels, labels), (images, images), seed=seed).query for seed in (0, 0, 1))
    assert one.tolist() == same.tolist() != other.tolist()


@pytest.mark.parametrize(("classes", "count", "largest"), [(3, 3, 1), (20, 20, 1), (25, 13, 2), (100, 20, 5)])
def test_classes_leave_whole_on_both_sides_in_groups_of_one_size(classes: int, count: int, largest: int) -> None:
    query, gallery = np.repeat(np.arange(classes), 2), np.tile(np.arange(classes), 3)
    found = groups_of_classes((query, gallery))
    assert found is not None
    of_class = {label: set(found.query[query == label]) | set(found.gallery[gallery == label]) for label in query}
    assert {len(groups) for groups in of_class.values()} == {1}
    sizes = np.bincount([min(groups) for groups in of_class.values()])
    assert (len(sizes), sizes.max()) == (found.count, largest)
    assert found.count == count
    assert sizes.max() - sizes.min() <= 1


def test_classes_that_no_query_asks_for_leave_with_the_groups_of_the_others() -> None:
    found = groups_of_classes((np.arange(4), np.repeat(np.arange(44), 2)))
    assert found is not None
    assert found.count == 4
    assert np.bincount(found.gallery).tolist() == [22] * 4
    assert (found.gallery[::2] == found.gallery[1::2]).all()


def test_fewer_than_three_classes_asked_for_have_no_groups_of_classes() -> None:
    assert groups_of_classes((np.array([0, 1, 1]), np.arange(9))) is None


def test_the_standard_error_is_that_of_a_plain_loop() -> None:
    replicates = np.random.default_rng(0).random((3, 7))
    for row, found in zip(replicates.tolist(), standard_error(replicates), strict=True):
        mean = sum(row) / 7
        assert found == pytest.approx(math.sqrt(6 / 7 * sum((one - mean) ** 2 for one in row)))


def test_a_mean_with_a_group_for_each_value_has_the_textbook_s_standard_error() -> None:
    values = np.random.default_rng(1).exponential(size=20)
    left_out = queries_left_out(values[None], Groups(np.arange(20), NOBODY, 20))
    assert standard_error(left_out)[0] == pytest.approx(values.std(ddof=1) / math.sqrt(20))


def test_what_all_replicates_share_falls_out_of_the_standard_error() -> None:
    replicates = np.random.default_rng(2).random(20)
    assert standard_error(replicates + 5) == pytest.approx(float(standard_error(replicates)))
    assert standard_error(np.full(20, 0.7)) == pytest.approx(0)


def test_one_group_or_an_unknown_replicate_has_no_standard_error() -> None:
    assert np.isnan(standard_error(np.ones((2, 1)))).all()
    assert np.isnan(standard_error(np.array([0.1, np.nan, 0.2])))


def test_queries_left_out_are_the_means_of_a_plain_loop() -> None:
    rng = np.random.default_rng(3)
    values = rng.random((2, 30))
    values[:, [4, 9]] = np.nan
    values[1, 7] = np.nan
    groups = Groups(rng.integers(0, 4, 30), NOBODY, 5)  # nobody is in the last one
    found = queries_left_out(values, groups)
    assert found.shape == (2, 5)
    for seed in range(2):
        for group in range(5):
            left = [one for one, at in zip(values[seed], groups.query, strict=True) if at != group]
            assert found[seed, group] == pytest.approx(np.nanmean(left))


def test_a_group_that_holds_every_value_leaves_no_mean() -> None:
    found = queries_left_out(np.array([[1.0, 3.0, np.nan]]), Groups(np.array([0, 0, 1]), NOBODY, 2))
    np.testing.assert_array_equal(found, [[np.nan, 2.0]])


def test_values_beside_a_ranking_leave_with_the_ranking_s_groups() -> None:
    values = {"x": np.arange(6.0)}
    images, classes = Groups(np.arange(6) % 2, NOBODY, 2), Groups(np.arange(6) // 2, NOBODY, 3)
    ranked = Replicates({"map": np.ones(2)}, {"map": np.ones(3)}, images, classes)
    both = ranked.joined(ranked.of_values(values)).by_estimand()
    assert both["these_classes"]["x"].tolist() == [3.0, 2.0]
    assert both["other_classes"]["x"].tolist() == [3.5, 2.5, 1.5]
    assert all(set(metrics) == {"map", "x"} for metrics in both.values())
    assert Replicates({}, {}, images, None).of_values(values).other_classes == {}
