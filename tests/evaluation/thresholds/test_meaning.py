"""A threshold for any rate is never laxer than asked; intervals and odds are those of the textbook."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta
from sklearn.datasets import load_digits

from bench.contract import DataError, Fitted, Measured
from bench.evaluation.ranking.retrieval_set import RetrievalSet
from bench.evaluation.thresholds.meaning import fit_on_half, interval_of, point_at, share_of_matches, under_prior
from bench.evaluation.thresholds.operating_points import fit_thresholds, measure_at, measure_thresholds


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    data = load_digits()
    rows = np.random.default_rng(0).permutation(len(data.target))[:600]
    return data.data[rows].astype(np.float32), data.target[rows]


@pytest.fixture(scope="module")
def fitted(digits: tuple[np.ndarray, np.ndarray]) -> Fitted:
    found = fit_thresholds(*digits)
    assert found is not None
    return found


@pytest.mark.parametrize("rate", [0.5, 0.2, 0.1, 0.03, 0.01, 0.004, 0.001, 0.0002])
def test_a_rate_between_those_fitted_is_never_exceeded_and_nearly_reached(
    digits: tuple[np.ndarray, np.ndarray], fitted: Fitted, rate: float
) -> None:
    point = point_at(fitted, rate)
    vectors = digits[0] / np.linalg.norm(digits[0], axis=1, keepdims=True)
    scores = (vectors @ vectors.T)[np.triu_indices(len(vectors), k=1)]
    alike = (digits[1][:, None] == digits[1])[np.triu_indices(len(vectors), k=1)]
    counted = (scores[~alike] >= point.threshold).mean()
    assert counted == pytest.approx(point.fmr, abs=3e-5)  # float32 rounds at the edge
    assert rate / 1.6 <= point.fmr <= rate  # 33 rates, evenly spaced in their logarithm


def test_the_rates_that_runs_fit_are_the_ones_found(fitted: Fitted) -> None:
    assert [point_at(fitted, point.target) for point in fitted.points] == list(fitted.points)


def test_a_rate_that_too_few_pairs_show_is_refused_with_one_that_can_be_had(fitted: Fitted) -> None:
    with pytest.raises(DataError, match=r"too few pairs for a false-match rate of 1e-05: .* ask for 0.00019 or more"):
        point_at(fitted, 1e-5)
    assert point_at(fitted, 0.00019).fmr <= 0.00019


def test_one_threshold_is_measured_as_all_of_them_are(digits: tuple[np.ndarray, np.ndarray], fitted: Fitted) -> None:
    data = RetrievalSet.of(digits[0][:100], digits[1][:100], digits[0][100:], digits[1][100:])
    for point in measure_thresholds(fitted, data).points:
        assert measure_at(point.threshold, data, target=point.target) == point


@pytest.mark.parametrize("shared", [True, False])
def test_a_half_is_fitted_on_and_no_image_of_it_is_measured(
    digits: tuple[np.ndarray, np.ndarray], shared: bool
) -> None:
    vectors, labels = digits
    ids = np.arange(600)
    first = slice(0, 600) if shared else slice(400, 600)
    items = slice(0, 600) if shared else slice(0, 400)
    data = RetrievalSet.of(
        vectors[first], labels[first], vectors[items], labels[items], query_ids=ids[first], gallery_ids=ids[items]
    )
    found, rest = fit_on_half(data)
    assert found is not None
    assert found.images == len(ids[items]) // 2
    assert len(rest.gallery) == found.images
    assert len(rest.query) == (300 if shared else 200)
    left = {row.tobytes() for row in rest.gallery.take(slice(None))}
    assert left < {row.tobytes() for row in data.gallery.take(slice(None))}
    if shared:
        assert {row.tobytes() for row in rest.query.take(slice(None))} == left
    assert fit_on_half(data)[0] == found


@pytest.mark.parametrize(("wrong", "pairs"), [(0, 50), (3, 50), (50, 50), (9_853, 4_899_285)])
def test_the_interval_is_clopper_and_pearsons(wrong: int, pairs: int) -> None:
    low = beta.ppf(0.025, wrong, pairs - wrong + 1) if wrong else 0.0
    high = beta.ppf(0.975, wrong + 1, pairs - wrong) if wrong < pairs else 1.0
    assert interval_of(wrong, pairs) == pytest.approx((low, high), rel=1e-6)
    assert interval_of(0, 0) == (0, 1)


def test_a_prior_of_one_in_five_hundred_makes_little_of_near_certainty(fitted: Fitted) -> None:
    assert under_prior(0.975, 0.5, fitted) == pytest.approx(0.975)
    assert under_prior(0.975, 1 / 500, fitted) == pytest.approx(0.0725, abs=1e-4)  # 39/499
    assert 0.9 < under_prior(1.0, 1 / 500, fitted) < 1
    assert 0 < under_prior(0.0, 0.5, fitted) < 0.001


def test_the_share_of_right_matches_holds_what_the_rates_give() -> None:
    measured = Measured(None, 0.8, false_matches=20, different=10_000, false_non_matches=400, same=1_000)
    low, high = share_of_matches(measured, 0.1)
    assert low < 0.6 * 0.1 / (0.6 * 0.1 + 0.002 * 0.9) < high
    assert share_of_matches(Measured(None, 1.0, 0, 100, 100, 100), 0.1) == (0, 1)
