"""Intervals and tests of images and seeds against SciPy's, and what is found of a difference of the stated size."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from bench.evaluation.ranking.arrays import Floats
from bench.evaluation.statistics.estimates import (
    Estimate,
    Measured,
    class_means,
    detectable_difference,
    difference,
    estimate,
    intervals,
    macro_means,
    of_queries,
)

SEEDS = np.array([0.71, 0.74, 0.69])
OTHERS = np.array([0.80, 0.77, 0.84, 0.81])


def of_seeds(scores: Floats) -> Measured:
    """Scores that differ by seed, while no image makes any difference."""
    return Measured(scores, np.tile(scores[:, None], 20))


def observed(values: Floats) -> Measured:
    """One training's mean of so few values that each is a group."""
    return of_queries(values[None], np.zeros(len(values), dtype=np.int64))


def test_a_mean_with_a_group_for_each_value_has_the_t_interval_of_scipy() -> None:
    values = np.random.default_rng(0).exponential(size=15)
    found = estimate(observed(values))
    known = stats.ttest_1samp(values, 0)
    ends = stats.t.interval(0.95, 14, values.mean(), stats.sem(values))
    assert (found.low, found.high) == pytest.approx(ends)
    assert (found.t, found.freedom, found.p) == pytest.approx((known.statistic, 14, known.pvalue))


def test_two_methods_on_the_same_values_are_compared_by_the_paired_t_test() -> None:
    rng = np.random.default_rng(1)
    one = rng.random(18)
    other = one + 0.1 * rng.standard_normal(18) - 0.03
    found = difference(observed(one), observed(other))
    known = stats.ttest_rel(one, other)
    assert (found.mean, found.p) == pytest.approx(((one - other).mean(), known.pvalue))
    assert (found.low, found.high) == pytest.approx(tuple(known.confidence_interval()))


def test_two_sets_of_seeds_alike_for_all_images_are_compared_by_welch_s_test() -> None:
    found = difference(of_seeds(SEEDS), of_seeds(OTHERS))
    known = stats.ttest_ind(SEEDS, OTHERS, equal_var=False)
    assert (found.p, found.freedom) == pytest.approx((known.pvalue, known.df))
    assert (found.low, found.high) == pytest.approx(tuple(known.confidence_interval()))


def test_seeds_alone_have_the_t_interval_of_their_mean() -> None:
    found = estimate(of_seeds(SEEDS))
    assert (found.low, found.high) == pytest.approx(stats.t.interval(0.95, 2, SEEDS.mean(), stats.sem(SEEDS)))
    assert found.spread == pytest.approx(SEEDS.std(ddof=1))


def test_variances_of_images_and_seeds_add_up_with_satterthwaite_s_degrees_of_freedom() -> None:
    replicates = np.random.default_rng(2).normal(0.7, 0.004, (3, 20))
    found = estimate(Measured(SEEDS, replicates))
    images = 19 * replicates.mean(axis=0).var()
    seeds = SEEDS.var(ddof=1) / 3
    assert found.standard_error == pytest.approx(math.sqrt(images + seeds))
    assert found.freedom == pytest.approx((images + seeds) ** 2 / (images**2 / 19 + seeds**2 / 2))


def test_what_both_methods_find_hard_alike_leaves_their_difference_and_seeds_do_not() -> None:
    hard = np.random.default_rng(3).normal(0, 0.05, 20)
    one, other = (Measured(scores, scores[:, None] + hard) for scores in (SEEDS, OTHERS))
    assert estimate(one).standard_error > 0.1
    assert difference(one, other).standard_error == pytest.approx(
        math.sqrt(SEEDS.var(ddof=1) / 3 + stats.sem(OTHERS) ** 2)
    )


def test_the_same_seeds_of_two_methods_are_not_paired() -> None:
    """A seed makes no luck that two methods share."""
    found = difference(of_seeds(SEEDS + 0.1), of_seeds(SEEDS))
    assert found.standard_error == pytest.approx(math.sqrt(2) * stats.sem(SEEDS))


def test_one_seed_is_as_sure_as_its_images_are_and_has_no_spread() -> None:
    replicates = np.random.default_rng(4).normal(0.7, 0.004, (1, 20))
    found = estimate(Measured(np.array([0.7]), replicates))
    assert math.isnan(found.spread)
    assert (found.standard_error, found.freedom) == pytest.approx((math.sqrt(19) * replicates.std(), 19))


def test_nothing_that_varies_is_an_interval_of_no_width_and_no_doubt() -> None:
    same, better = (of_seeds(np.full(2, score)) for score in (0.5, 0.75))
    alike, apart = difference(same, same), difference(better, same)
    assert (alike.mean, alike.t, alike.p) == (0.0, 0.0, 1.0)
    assert (apart.low, apart.high, apart.t, apart.p) == (0.25, 0.25, math.inf, 0.0)
    assert difference(same, better).t == -math.inf
    assert detectable_difference(apart) == 0.0


def test_what_cannot_be_known_has_no_interval_and_is_never_told_apart() -> None:
    unknown = Measured(np.array([0.5]), np.array([[0.5, np.nan, 0.6]]))
    found = difference(unknown, Measured(np.array([0.1]), np.full((1, 3), 0.1)))
    assert math.isnan(found.low)
    assert found.p == 1.0


def test_intervals_of_a_run_leave_out_what_has_none() -> None:
    left_out = {"map": np.array([0.4, 0.5, 0.6]), "hit@1": np.array([np.nan, 1.0, 1.0])}
    found = intervals({"map": 0.52, "hit@1": 1.0, "dim": 64.0}, left_out)
    reach = stats.t.ppf(0.975, 2) * math.sqrt(2 * left_out["map"].var())
    assert found.keys() == {"map"}
    assert found["map"] == pytest.approx((0.52 - reach, 0.52 + reach))


def test_values_of_several_seeds_leave_queries_without_one_out() -> None:
    values = np.array([[1.0, np.nan, 2.0, 3.0], [2.0, np.nan, 2.0, 8.0]])
    found = of_queries(values, np.zeros(4, dtype=np.int64))
    assert found.scores.tolist() == [2.0, 4.0]
    assert sorted(found.replicates[1]) == [2.0, 4.0, 5.0, 5.0]


def test_less_is_better_turns_scores_and_replicates_round() -> None:
    one = observed(np.array([1.0, 2.0, 4.0]))
    assert estimate(-1 * one).mean == pytest.approx(-estimate(one).mean)
    assert estimate(-1 * one).low == pytest.approx(-estimate(one).high)


def test_an_estimate_is_written_with_half_its_interval() -> None:
    reach = stats.t.ppf(0.975, 19) * 0.01
    assert str(Estimate(0.71249, 0.01, 19)) == f"0.712 ± {reach:.3f}"


@pytest.mark.parametrize("freedom", [2, 19, 500])
def test_the_power_at_the_detectable_difference_is_80_percent_by_the_noncentral_t(freedom: int) -> None:
    shift = detectable_difference(Estimate(0.0, 1.0, freedom))
    assert stats.nct.sf(stats.t.ppf(0.975, freedom), freedom, shift) == pytest.approx(0.8, abs=1e-6)


def test_a_difference_of_the_detectable_size_is_found_in_about_80_percent_of_cases() -> None:
    rng = np.random.default_rng(5)
    nothing = Measured(np.zeros(1), np.zeros((1, 20)))
    shift = detectable_difference(Estimate(0.0, 1 / math.sqrt(20), 19))
    tried = [observed(values) for values in rng.standard_normal((3_000, 20)) + shift]
    assert 0.78 <= np.mean([difference(one, nothing).p <= 0.05 for one in tried]) <= 0.82


@pytest.mark.parametrize(("seeds", "spread"), [(1, 0.0), (2, 0.05), (3, 0.2), (5, 1.0)])
def test_the_interval_over_images_and_seeds_covers_the_mean_of_both(seeds: int, spread: float) -> None:
    """20 images of spread 1, whose mean has a standard error of 0.22, and seeds that move all of them."""
    rng, covered = np.random.default_rng(6), 0
    for _ in range(1_000):
        values = rng.standard_normal(20) + spread * rng.standard_normal((seeds, 1))
        found = estimate(of_queries(values, np.zeros(20, dtype=np.int64)))
        covered += found.low <= 0 <= found.high
    assert 0.93 <= covered / 1_000 <= 0.985


def test_macro_is_the_mean_of_class_means_and_skips_classes_without_a_value() -> None:
    values = {"x": np.array([1.0, 1.0, 1.0, 0.0, np.nan]), "none": np.full(5, np.nan)}
    means = macro_means(values, np.array([3, 3, 3, 7, 9]))
    assert means["x"] == 0.5
    assert np.isnan(means["none"])


def test_class_means_leave_out_what_has_no_value() -> None:
    found = class_means(np.array([1.0, 3.0, np.nan, np.nan]), np.array([4, 4, 4, 9]))
    np.testing.assert_array_equal(found, [2.0, np.nan])
