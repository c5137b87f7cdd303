"""Intervals and tests keep what they promise: measured on populations whose truth is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from bench.evaluation.ranking.arrays import Floats, Ints
from bench.evaluation.statistics.bootstrap import RESAMPLES, ci95, interval, seeds_by_queries
from bench.evaluation.statistics.paired_tests import detectable_difference, sign_flip_test

POPULATIONS = 1_000
TESTS = 10_000


def independent(rng: np.random.Generator) -> tuple[Floats, None, float]:
    """200 queries with values such as average precisions: most near 1, some far below."""
    return rng.beta(4, 1, (200, POPULATIONS)), None, 0.8


def clustered(classes: int, each: int) -> Callable[[np.random.Generator], tuple[Floats, Ints, float]]:
    """Classes whose queries share half of their variance."""

    def draw(rng: np.random.Generator) -> tuple[Floats, Ints, float]:
        shared = np.repeat(rng.standard_normal((classes, POPULATIONS)), each, axis=0)
        own = rng.standard_normal((classes * each, POPULATIONS))
        return np.sqrt(0.5) * (shared + own), np.repeat(np.arange(classes), each), 0.0

    return draw


def skewed(rng: np.random.Generator) -> tuple[Floats, Ints, float]:
    """10 classes of 50 queries, whose own means are skewed as a few hard classes make them."""
    means = np.repeat(rng.beta(4, 1, (10, POPULATIONS)), 50, axis=0)
    return rng.beta(4 * means + 1e-3, 4 * (1 - means) + 1e-3), np.repeat(np.arange(10), 50), 0.8


def coverage(low: Floats, high: Floats, truth: float) -> float:
    return float(((low <= truth) & (truth <= high)).mean())


@pytest.mark.parametrize(
    ("draw", "least"),
    [(independent, 0.93), (clustered(50, 10), 0.93), (clustered(10, 50), 0.93), (skewed, 0.92)],
    ids=["independent queries", "50 classes", "10 classes", "10 skewed classes"],
)
def test_ci95_covers_the_truth_of_93_to_97_in_100_populations(
    draw: Callable[[np.random.Generator], tuple[Floats, Ints | None, float]], least: float
) -> None:
    """Ten skewed classes lie at the edge, below which a t-interval falls (figures: docs/design/statistics.md)."""
    values, classes, truth = draw(np.random.default_rng(0))
    found = ci95({str(i): column for i, column in enumerate(values.T)}, classes)
    low, high = np.array(list(found.values())).T
    covered = coverage(low, high, truth)
    assert least <= covered <= 0.97


def test_plain_2_5_and_97_5_percentiles_would_not_cover_with_ten_classes() -> None:
    """The reason for the quantiles further out."""
    values, classes, truth = clustered(10, 50)(np.random.default_rng(0))
    means = seeds_by_queries(values, classes, [1] * values.shape[1])
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    assert coverage(low, high, truth) < 0.92


@pytest.mark.parametrize(("seeds", "spread", "least"), [(3, 0.02, 0.93), (5, 0.05, 0.92), (3, 0.2, 0.80)])
def test_the_interval_over_seeds_and_queries_covers_both(seeds: int, spread: float, least: float) -> None:
    """100 queries of spread 1 (a mean's standard error is 0.1); seeds that move the mean by ``spread``."""
    rng = np.random.default_rng(1)
    queries = rng.standard_normal((100, POPULATIONS, 1))
    runs = queries + spread * rng.standard_normal((1, POPULATIONS, seeds))
    runs = runs + 0.3 * rng.standard_normal((100, POPULATIONS, seeds))
    columns = runs.reshape(100, -1)
    low, high = interval(seeds_by_queries(columns, None, [seeds] * POPULATIONS, resamples=2_000), 100)
    assert least <= coverage(low, high, 0.0) <= 0.975


@pytest.mark.parametrize("units", [10, 50, 200])
def test_the_paired_test_is_wrong_in_4_to_6_of_100_cases_without_a_difference(units: int) -> None:
    """Two methods whose average precisions have one distribution and are alike for a query's difficulty."""
    rng = np.random.default_rng(2)
    hard = rng.beta(4, 1, (units, TESTS))
    one, other = (np.clip(hard + 0.1 * rng.standard_normal((units, TESTS)), 0, 1) for _ in range(2))
    wrong = (sign_flip_test(other - one, resamples=2_000) <= 0.05).mean()
    assert 0.04 <= wrong <= 0.06


@pytest.mark.parametrize(("units", "least", "most"), [(10, 0.08, 0.12), (200, 0.045, 0.065)])
def test_very_skewed_differences_of_few_units_are_found_too_often(units: int, least: float, most: float) -> None:
    """The test's limit: such methods are not exchangeable, though their means are equal. A t-test has it too."""
    x = np.random.default_rng(4).exponential(size=(units, TESTS // 2)) - 1
    wrong = (sign_flip_test(x, resamples=2_000) <= 0.05).mean()
    assert least <= wrong <= most
    assert (stats.ttest_1samp(x, 0).pvalue <= 0.05).mean() == pytest.approx(wrong, abs=0.01)


def test_zeros_and_ones_are_found_a_little_too_seldom() -> None:
    x = np.random.default_rng(5).choice([-1.0, 0.0, 1.0], p=[0.1, 0.8, 0.1], size=(200, TESTS // 2))
    assert 0.03 <= (sign_flip_test(x, resamples=2_000) <= 0.05).mean() <= 0.05


@pytest.mark.parametrize("units", [10, 300])
def test_the_detectable_difference_is_found_in_about_80_of_100_cases(units: int) -> None:
    rng = np.random.default_rng(3)
    shift = detectable_difference(np.array([1 / np.sqrt(units)]), units)
    found = (sign_flip_test(rng.standard_normal((units, TESTS // 2)) + shift, resamples=2_000) <= 0.05).mean()
    assert 0.77 <= found <= 0.83


def test_the_interval_and_a_t_interval_agree_where_both_hold() -> None:
    values = np.random.default_rng(4).standard_normal(60)
    half = stats.t.ppf(0.975, 59) * values.std(ddof=1) / np.sqrt(60)
    low, high = ci95({"x": values})["x"]
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.05 * half)


def test_ten_thousand_resamples_are_as_many_as_the_definition_says() -> None:
    assert RESAMPLES == 10_000
