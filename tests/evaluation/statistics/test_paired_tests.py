"""The paired test, its correction and its companions, beside SciPy's and beside slow ways of computing the same."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.datasets import load_digits

from bench.contract import DataError
from bench.evaluation.evaluate import evaluate
from bench.evaluation.ranking.arrays import Floats, Ints
from bench.evaluation.statistics.paired_tests import (
    check_same_queries,
    class_means,
    compare,
    detectable_difference,
    drawn_as,
    holm,
    most_changed,
    sign_flip_test,
    smallest_p,
    standard_errors,
)


def mean(x: Floats, axis: int) -> Floats:
    return np.asarray(x.mean(axis=axis))


@pytest.mark.parametrize("units", [2, 5, 10, 13])
def test_few_units_give_the_exact_p_of_scipy(units: int) -> None:
    x = np.random.default_rng(units).standard_normal(units) + 0.4
    known = stats.permutation_test((x,), mean, permutation_type="samples", vectorized=True, n_resamples=2**13)
    assert sign_flip_test(x[:, None])[0] == pytest.approx(known.pvalue, abs=1e-12)


def test_permutation_p_agrees_with_scipy_and_the_t_test() -> None:
    x = np.random.default_rng(0).standard_normal((400, 4)) + np.array([0.0, 0.05, 0.1, 0.13])
    ours = sign_flip_test(x)
    for column, p in zip(x.T, ours, strict=True):
        known = stats.permutation_test(
            (column,), mean, permutation_type="samples", vectorized=True, n_resamples=9_999, batch=1_000, rng=1
        )
        error = 4 * np.sqrt(2 * p * (1 - p) / 10_000) + 2e-4
        assert p == pytest.approx(known.pvalue, abs=error)
        assert p == pytest.approx(stats.ttest_rel(column, 0 * column).pvalue, abs=error)


def test_ones_and_zeros_give_mcnemar_s_exact_p() -> None:
    """12 queries that only one of two methods answers, 10 to 2: a coin thrown 12 times."""
    x = np.concatenate([np.ones(10), -np.ones(2), np.zeros(100)])
    assert sign_flip_test(x[:, None])[0] == pytest.approx(stats.binomtest(2, 12).pvalue)


def test_patterns_that_only_rounding_tells_from_the_one_found_count() -> None:
    x = np.array([0.1, 0.2, 0.3, -0.3, 0.7, 0.1])
    naive = [
        abs(round(sum(s * v for s, v in zip(signs, x, strict=True)), 9))
        for signs in itertools.product((-1, 1), repeat=6)
    ]
    assert sign_flip_test(x[:, None])[0] == np.mean(np.array(naive) >= round(abs(x.sum()), 9))


def test_equal_methods_give_p_1_and_the_same_seed_the_same_p() -> None:
    assert sign_flip_test(np.zeros((50, 2))).tolist() == [1.0, 1.0]
    x = np.random.default_rng(1).standard_normal((60, 1))
    assert sign_flip_test(x, seed=1) == sign_flip_test(x, seed=1)
    assert sign_flip_test(x, seed=1) != sign_flip_test(x, seed=2)
    assert sign_flip_test(x, seed=1) == sign_flip_test(-7 * x, seed=1)


@pytest.mark.parametrize("units", [1, 4, 10, 13, 14, 500])
def test_no_p_is_below_the_smallest_possible(units: int) -> None:
    p = sign_flip_test(np.ones((units, 1)))[0]
    assert p == pytest.approx(smallest_p(units), abs=2e-3)
    assert p >= smallest_p(units)


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


@settings(max_examples=30)
@given(st.lists(st.integers(1, 9), min_size=2, max_size=12), st.integers(0, 99))
def test_the_standard_error_is_that_of_the_jackknife_for_sums_of_one_size(sizes: list[int], seed: int) -> None:
    sizes = [sizes[0]] * len(sizes)
    sums = np.random.default_rng(seed).standard_normal((len(sizes), 1))
    left_out = np.array([np.delete(sums, i).sum() / (sum(sizes) - sizes[i]) for i in range(len(sizes))])
    jackknife = np.sqrt((len(sizes) - 1) * left_out.var())
    assert standard_errors(sums, np.array(sizes, float))[0] == pytest.approx(jackknife)


def test_the_standard_error_of_unequal_classes_is_that_of_the_clustered_bootstrap() -> None:
    rng = np.random.default_rng(2)
    sizes = rng.integers(5, 50, 200).astype(float)
    sums = (sizes * (0.3 + rng.standard_normal(200)))[:, None]
    drawn = rng.integers(0, 200, (4_000, 200))
    means = sums[drawn, 0].sum(axis=1) / sizes[drawn].sum(axis=1)
    assert standard_errors(sums, sizes)[0] == pytest.approx(means.std(), rel=0.06)


@pytest.mark.parametrize("units", [3, 10, 5_000])
def test_the_power_at_the_detectable_difference_is_80_percent_by_the_noncentral_t(units: int) -> None:
    shift = detectable_difference(np.array([1.0]), units)[0]
    assert stats.nct.sf(stats.t.ppf(0.975, units - 1), units - 1, shift) == pytest.approx(0.8, abs=1e-6)


def values_of(dimensions: int, seeds: int) -> tuple[Floats, Ints]:
    """Average precisions of real digits by their first pixels, with a little noise for each seed, and the labels."""
    data = load_digits()
    images, labels = data.data[:400, : dimensions + 2], data.target[:400]
    found = []
    for seed in range(seeds):
        noisy = images + np.random.default_rng(seed).normal(0, 0.5, images.shape) + 0.1
        found.append(
            evaluate(noisy, labels, noisy, labels, query_ids=range(400), gallery_ids=range(400)).per_query["map"]
        )
    return np.array(found), labels


def test_real_methods_are_compared_with_every_part_as_computed_by_itself() -> None:
    """Three seeds against one, ten classes drawn: seed averages first, then class sums."""
    reference, labels = values_of(60, 1)
    worse, _ = values_of(20, 3)
    (found,) = compare(reference, [worse], labels)
    difference = worse.mean(axis=0) - reference[0]
    sums = np.bincount(labels, weights=difference)
    assert found.difference == pytest.approx(difference.mean())
    assert found.p == pytest.approx(
        stats.permutation_test((sums,), mean, permutation_type="samples", vectorized=True).pvalue
    )
    assert found.p_holm == found.p
    assert found.low < found.difference < found.high < 0
    assert found.separable
    assert (found.wins, found.losses) == ((sums > 0).sum(), (sums < 0).sum())


def test_the_paired_interval_is_scipy_s_for_queries_that_are_drawn_by_themselves() -> None:
    rng = np.random.default_rng(3)
    one = rng.beta(4, 1, 300)
    other = np.clip(one + 0.05 * rng.standard_normal(300), 0, 1)
    (found,) = compare(one[None], [other[None]], np.zeros(300, np.int64))
    known = stats.bootstrap(
        (other, one), lambda a, b, axis: (a - b).mean(axis), paired=True, method="percentile", rng=0
    )
    ends = known.confidence_interval
    width = ends.high - ends.low
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high), abs=0.06 * width)


def test_queries_with_nothing_to_find_change_nothing() -> None:
    rng = np.random.default_rng(4)
    one, other = rng.random((2, 40)), rng.random((1, 40))
    classes = np.arange(40) % 3
    with_hole = [np.insert(x, 7, np.nan, axis=1) for x in (one, other)]
    assert compare(with_hole[0], [with_hole[1]], np.insert(classes, 7, 2)) == compare(one, [other], classes)


def test_a_class_without_values_is_none_that_is_drawn() -> None:
    classes = np.repeat(np.arange(10), 4)
    values = np.ones(40)
    assert drawn_as(values, classes) == "classes"
    values[classes == 3] = np.nan
    assert drawn_as(values, classes) == "queries"


def test_a_seed_more_widens_the_interval_by_what_seeds_differ() -> None:
    rng = np.random.default_rng(5)
    one = rng.random((1, 500))
    near, far = one + 0.01 * rng.standard_normal((1, 500)), None
    far = np.concatenate([near - 0.1, near + 0.1])
    (calm,), (wild,) = (compare(one, [x], np.zeros(500, np.int64)) for x in (near, far))
    assert wild.difference == pytest.approx(calm.difference)
    assert wild.p == pytest.approx(calm.p)
    assert wild.high - wild.low > 5 * (calm.high - calm.low)


def test_most_changed_queries_come_largest_first() -> None:
    assert most_changed(np.array([0.1, np.nan, -0.5, 0.0, 0.1]), 9).tolist() == [2, 0, 4]
    assert most_changed(np.array([0.1, -0.5, 0.3]), 2).tolist() == [1, 2]


def test_class_means_leave_out_what_has_no_value() -> None:
    found = class_means(np.array([1.0, 3.0, np.nan, np.nan]), np.array([4, 4, 4, 9]))
    np.testing.assert_array_equal(found, [2.0, np.nan])


def test_values_of_other_queries_are_refused() -> None:
    with pytest.raises(DataError, match="b has values for other queries than a"):
        check_same_queries(["a", "b"], [np.ones((1, 3)), np.array([[1.0, np.nan, 1.0]])])
