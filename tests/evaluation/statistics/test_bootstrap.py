"""Intervals that cover what they promise, and classes that are drawn whole."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bench.contract import DataError
from bench.evaluation.statistics.bootstrap import ci95, interval, macro_means, seeds_by_queries, tail


def test_the_interval_covers_the_true_mean_in_about_95_of_100_samples() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(400):
        low, high = ci95({"x": rng.exponential(size=200)}, resamples=500, seed=seed)["x"]
        covered += low <= 1.0 <= high
    assert 0.92 <= covered / 400 <= 0.97


def test_drawing_classes_covers_where_drawing_queries_does_not() -> None:
    """30 classes of 20 queries that err together: the spread of the mean is that of 30 numbers, not of 600."""
    rng = np.random.default_rng(1)
    classes = np.repeat(np.arange(30), 20)
    clustered = plain = 0
    for seed in range(200):
        values = {"x": np.repeat(rng.standard_normal(30), 20) + 0.1 * rng.standard_normal(600)}
        low, high = ci95(values, classes, resamples=400, seed=seed)["x"]
        clustered += low <= 0 <= high
        low, high = ci95(values, resamples=400, seed=seed)["x"]
        plain += low <= 0 <= high
    assert 0.89 <= clustered / 200 <= 0.98
    assert plain / 200 < 0.6


def test_below_ten_classes_queries_are_drawn() -> None:
    values = {"x": np.random.default_rng(2).standard_normal(90)}
    nine = np.arange(90) % 9
    assert ci95(values, nine) == ci95(values)
    assert ci95(values, np.arange(90) % 10) != ci95(values)


def test_pooled_queries_weigh_a_class_by_its_size() -> None:
    """By hand: the mean of a resample is that of all queries in the drawn classes."""
    values = np.arange(30.0)
    classes = np.repeat(np.arange(10), [1, 5, 1, 5, 1, 5, 1, 5, 1, 5])
    means = seeds_by_queries(values[:, None], classes, [1], resamples=50, seed=3)[:, 0]
    rng = np.random.default_rng((3, 3))
    for mean, drawn in zip(means, rng.integers(0, 10, size=(50, 10)), strict=True):
        assert mean == pytest.approx(np.concatenate([values[classes == one] for one in drawn]).mean())


def test_all_metrics_share_their_resamples() -> None:
    x = np.random.default_rng(4).standard_normal(50)
    means = seeds_by_queries(np.column_stack([x, 2 * x + 1]), None, [1, 1], resamples=100)
    np.testing.assert_allclose(means[:, 1], 2 * means[:, 0] + 1)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    values = {"x": np.random.default_rng(5).standard_normal(50)}
    assert ci95(values, seed=1) == ci95(values, seed=1) != ci95(values, seed=2)


def test_resamples_in_several_blocks_are_as_many_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(6).standard_normal((50, 1))
    once = seeds_by_queries(values, None, [1], resamples=123)
    monkeypatch.setattr("bench.evaluation.statistics.bootstrap._BLOCK_DRAWS", 50 * 7)
    np.testing.assert_allclose(seeds_by_queries(values, None, [1], resamples=123), once)


def test_queries_without_a_value_are_left_out() -> None:
    values = np.array([1.0, np.nan, 2.0, 3.0])
    assert ci95({"x": values}) == ci95({"x": values[[0, 2, 3]]})


def test_one_query_has_an_interval_of_no_width() -> None:
    assert ci95({"x": np.array([0.5])})["x"] == (0.5, 0.5)


def test_values_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(DataError, match="same queries"):
        ci95({"x": np.array([1.0, np.nan]), "y": np.array([1.0, 2.0])})
    with pytest.raises(DataError, match="finite"):
        ci95({"x": np.array([1.0, np.inf])})
    with pytest.raises(DataError, match="at least one"):
        ci95({"x": np.array([np.nan])})


def test_macro_is_the_mean_of_class_means_and_skips_classes_without_a_value() -> None:
    values = {"x": np.array([1.0, 1.0, 1.0, 0.0, np.nan]), "none": np.full(5, np.nan)}
    means = macro_means(values, np.array([3, 3, 3, 7, 9]))
    assert means["x"] == 0.5
    assert np.isnan(means["none"])


def test_few_units_move_the_quantiles_out_and_many_leave_them() -> None:
    assert tail(10) == pytest.approx(0.00855, abs=1e-5)
    assert tail(100_000) == pytest.approx(0.025, abs=1e-5)
    assert tail(1) == 0.025


@pytest.mark.parametrize("count", [25, 2_000])
def test_the_interval_is_scipy_s_percentile_bootstrap_at_our_quantiles(count: int) -> None:
    values = np.random.default_rng(7).exponential(size=count)
    level = 1 - 2 * tail(count)
    known = stats.bootstrap((values,), np.mean, confidence_level=level, method="percentile", batch=500, rng=1)
    ends = known.confidence_interval
    low, high = ci95({"x": values})["x"]
    assert (low, high) == pytest.approx((ends.low, ends.high), abs=0.06 * (ends.high - ends.low))


def test_one_seed_each_is_the_bootstrap_of_the_queries() -> None:
    columns = np.random.default_rng(8).standard_normal((40, 2))
    low, high = interval(seeds_by_queries(columns, None, [1, 1], resamples=50), 40)
    found = ci95({"a": columns[:, 0], "b": columns[:, 1]}, resamples=50)
    assert found == {"a": (low[0], high[0]), "b": (low[1], high[1])}


def test_seeds_that_differ_by_constants_spread_as_the_mean_of_drawn_seeds_should() -> None:
    """All queries alike: what is left is the standard error of a mean of seeds, sd / sqrt(seeds)."""
    seeds = np.array([0.1, 0.4, 0.5, 0.8])
    means = seeds_by_queries(np.tile(seeds, (20, 1)), None, [4], resamples=20_000)
    assert means.mean() == pytest.approx(seeds.mean(), abs=0.003)
    assert means.std() == pytest.approx(seeds.std(ddof=1) / 2, rel=0.03)
