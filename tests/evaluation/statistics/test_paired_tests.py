"""Comparisons with a reference and with the best, their corrections, and their companions."""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.datasets import load_digits

from bench.contract import DataError
from bench.evaluation.evaluate import Evaluation, evaluate
from bench.evaluation.statistics.estimates import Measured, detectable_difference, difference, of_queries
from bench.evaluation.statistics.paired_tests import (
    Comparison,
    check_same_queries,
    compare,
    compare_with_best,
    holm,
    most_changed,
    over_all_pairs,
)


def rows(count: int, apart: float = 0.02) -> list[Measured]:
    """Means of 20 values each, a row ``apart`` below the one before."""
    values = np.random.default_rng(0).normal(0.7, 0.02, (count, 20)) - apart * np.arange(count)[:, None]
    return [of_queries(one[None], np.zeros(20, dtype=np.int64)) for one in values]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_the_closed_test_of_bonferroni(p: list[float]) -> None:
    """Holm's p of a hypothesis is the largest Bonferroni p of any group of hypotheses that holds it."""
    expected = [
        max(
            min(1.0, len(group) * min(p[j] for j in group))
            for size in range(1, len(p) + 1)
            for group in itertools.combinations(range(len(p)), size)
            if i in group
        )
        for i in range(len(p))
    ]
    np.testing.assert_allclose(holm(np.array(p)), expected)


def test_a_named_reference_is_compared_with_each_and_corrected_by_holm() -> None:
    reference, *others = rows(4)
    found = compare(reference, others)
    apart = [difference(one, reference) for one in others]
    assert [one.p for one in found] == [one.p for one in apart]
    assert [one.p_corrected for one in found] == holm(np.array([one.p for one in apart])).tolist()
    for one, known in zip(found, apart, strict=True):
        assert (one.difference, one.low, one.high) == (known.mean, known.low, known.high)
        assert one.detectable == detectable_difference(known)


def test_two_rows_are_one_pair_whose_p_needs_no_correction() -> None:
    best, other = rows(2)
    (found,) = compare_with_best(best, [other])
    assert found.p_corrected == found.p == difference(other, best).p


@pytest.mark.parametrize("count", [3, 6, 14])
def test_the_best_of_several_rows_is_corrected_for_all_their_pairs(count: int) -> None:
    best, *others = rows(count)
    found = compare_with_best(best, others)
    pairs = len(list(itertools.combinations(range(count), 2)))
    assert [one.p_corrected for one in found] == pytest.approx([min(1.0, one.p * pairs) for one in found])
    assert [one.separable for one in found] == [one.p * pairs <= 0.05 for one in found]


def test_rows_that_could_not_be_tested_count_among_those_the_best_was_chosen_from() -> None:
    best, *others = rows(3)
    found = compare_with_best(best, others, 5)
    assert [one.p_corrected for one in found] == over_all_pairs(np.array([one.p for one in found]), 5).tolist()


def test_no_corrected_p_is_above_1() -> None:
    assert over_all_pairs(np.array([0.001, 0.5]), 14).tolist() == [pytest.approx(0.091), 1.0]


@pytest.mark.parametrize(("p", "told"), [(0.05, True), (0.0501, False)])
def test_methods_are_separable_at_5_percent_of_the_corrected_p(p: float, *, told: bool) -> None:
    assert Comparison(0.1, 0.05, 0.15, p=0.001, p_corrected=p, detectable=0.07).separable is told


@cache
def by_pixels(dimensions: int, seed: int) -> Evaluation:
    """200 real digits by their first pixels, with a little noise, each asking all others."""
    data = load_digits()
    images, labels = data.data[:200, : dimensions + 2], data.target[:200]
    noisy = images + np.random.default_rng(seed).normal(0, 0.5, images.shape) + 0.1
    return evaluate(noisy, labels, noisy, labels, query_ids=range(200), gallery_ids=range(200), ks=[1], threads=1)


@pytest.mark.parametrize("estimand", ["these_classes", "other_classes"])
def test_real_methods_are_compared_with_every_part_as_computed_by_itself(estimand: str) -> None:
    """Three seeds against one: the seeds' mean first, then images (or classes) group by group."""
    runs = [by_pixels(60, 0)], [by_pixels(20, seed) for seed in range(3)]
    reference, worse = (
        Measured(
            np.array([one.scores["map"] for one in side]),
            np.stack([one.replicates.by_estimand()[estimand]["map"] for one in side]),
        )
        for side in runs
    )
    (found,) = compare(reference, [worse])
    apart = worse.replicates.mean(axis=0) - reference.replicates[0]
    groups = len(apart)
    images = (groups - 1) * apart.var()
    seeds = worse.scores.var(ddof=1) / 3
    freedom = (images + seeds) ** 2 / (images**2 / (groups - 1) + seeds**2 / 2)
    reach = stats.t.ppf(0.975, freedom) * np.sqrt(images + seeds)
    mean = worse.scores.mean() - reference.scores[0]
    assert groups == {"these_classes": 20, "other_classes": 10}[estimand]
    assert (found.difference, found.low, found.high) == pytest.approx((mean, mean - reach, mean + reach))
    assert found.p == pytest.approx(2 * stats.t.sf(abs(mean) / np.sqrt(images + seeds), freedom))
    assert found.high < 0
    assert found.separable


def test_images_that_tell_two_trainings_apart_do_not_tell_their_methods_apart_where_seeds_vary() -> None:
    """Every image says that the one is better by 0.03; its other seeds lie as far on either side."""
    images = np.random.default_rng(1).normal(0, 0.001, 20)
    alike, varied = np.full(3, 0.7), np.array([0.63, 0.73, 0.83])
    one = Measured(alike, alike[:, None] + images)
    for scores, told in ((np.full(3, 0.73), True), (varied, False)):
        assert compare(one, [Measured(scores, scores[:, None] + images)])[0].separable is told


def test_most_changed_queries_come_largest_first() -> None:
    assert most_changed(np.array([0.1, np.nan, -0.5, 0.0, 0.1]), 9).tolist() == [2, 0, 4]
    assert most_changed(np.array([0.1, -0.5, 0.3]), 2).tolist() == [1, 2]


def test_values_of_other_queries_are_refused() -> None:
    with pytest.raises(DataError, match="b has values for other queries than a"):
        check_same_queries(["a", "b"], [np.ones((1, 3)), np.array([[1.0, np.nan, 1.0]])])
