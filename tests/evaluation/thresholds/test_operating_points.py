"""Thresholds keep the rate they were fitted for, and what they do on test is counted exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from bench.evaluation.metrics.verification import area_and_equal_error
from bench.evaluation.ranking.retrieval_set import RetrievalSet
from bench.evaluation.thresholds.operating_points import (
    ACCEPTED,
    equal_error,
    fit_thresholds,
    measure_thresholds,
    threshold_for,
)


def parts() -> list[tuple[np.ndarray, np.ndarray]]:
    """Digits in three parts: validation, query, gallery."""
    data = load_digits()
    rows = np.random.default_rng(0).permutation(len(data.target))
    vectors = data.data[rows] / np.linalg.norm(data.data[rows], axis=1, keepdims=True)
    cuts = (slice(0, 500), slice(500, 700), slice(700, 1200))
    return [(vectors[cut].astype(np.float32), data.target[rows][cut]) for cut in cuts]


def test_the_counts_on_test_are_those_of_comparing_every_pair() -> None:
    (validation, names), (query, labels), (gallery, gallery_labels) = parts()
    fitted = fit_thresholds(validation, names, normalize=False)
    assert fitted is not None
    found = measure_thresholds(fitted, RetrievalSet.of(query, labels, gallery, gallery_labels, normalize=False))
    scores = (query.astype(np.float64) @ gallery.T.astype(np.float64)).astype(np.float32)
    same = labels[:, None] == gallery_labels[None, :]
    assert [point.target for point in found.points] == [0.1, 0.01, 0.001, None]
    for point in found.points:
        assert (point.same, point.different) == (same.sum(), (~same).sum())
        assert abs(point.false_matches - (scores[~same] >= point.threshold).sum()) <= 3  # float32 rounds at the edge
        assert abs(point.false_non_matches - (scores[same] < point.threshold).sum()) <= 3
        if point.target is not None:
            assert point.fmr == pytest.approx(point.target, rel=0.5)


@pytest.mark.parametrize("listed", [False, True])
def test_a_device_counts_the_same_pairs(*, listed: bool) -> None:
    rng = np.random.default_rng(0)
    validation, query = (rng.integers(-2, 3, (n, 6)).astype(np.float32) + 0.5 for n in (80, 60))  # products are exact
    names, labels, ids = rng.integers(0, 4, 80), rng.integers(0, 4, 60), np.arange(60)
    fitted = fit_thresholds(validation, names, normalize=False)
    assert fitted is not None
    lists = [rng.permutation(np.delete(ids, row))[: row % 5].tolist() for row in ids]
    who: dict[str, Any] = {"positives": lists, "ignore": [[int(row)] for row in ids]} if listed else {}
    sides = (query, None, query, None) if listed else (query, labels, query, labels)
    data = RetrievalSet.of(*sides, query_ids=ids, gallery_ids=ids, normalize=False, **who)
    assert measure_thresholds(fitted, data, device="cpu:0") == measure_thresholds(fitted, data)


def test_a_query_is_no_pair_with_itself() -> None:
    (validation, names), (query, labels), _ = parts()
    fitted = fit_thresholds(validation, names)
    assert fitted is not None
    ids = np.arange(len(query))
    found = measure_thresholds(fitted, RetrievalSet.of(query, labels, query, labels, query_ids=ids, gallery_ids=ids))
    counts = np.bincount(labels)
    assert found.points[0].same == (counts * (counts - 1)).sum()
    assert found.points[0].same + found.points[0].different == len(query) * (len(query) - 1)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=40),
    st.sampled_from([1.0, 0.5, 0.1, 0.01]),
)
def test_a_fitted_threshold_never_exceeds_its_rate_and_no_lower_one_keeps_it(values: list[int], target: float) -> None:
    different = np.sort(np.array(values, dtype=np.float32) / np.float32(7))
    threshold = np.float32(threshold_for(different, target))
    assert (different >= threshold).mean() <= target
    lower = different[different < threshold]
    if len(lower):
        assert (different >= lower[-1]).mean() > target


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=30),
    st.lists(st.integers(0, 9), min_size=1, max_size=30),
)
def test_the_equal_error_rate_is_that_of_the_roc_curve(same: list[int], different: list[int]) -> None:
    both = [np.sort(np.array(values, dtype=np.float32)) for values in (same, different)]
    truth = np.repeat([1, 0], [len(same), len(different)])
    rate, threshold = equal_error(*both)
    assert rate == pytest.approx(area_and_equal_error(truth, np.concatenate(both))[1], abs=1e-12)
    errors = [(both[1] >= threshold).mean(), (both[0] < threshold).mean()]
    assert min(errors) - 1e-12 <= rate <= max(errors) + 1e-12


def test_the_roc_curve_is_thin_falls_and_every_point_of_it_is_true() -> None:
    validation, names = parts()[0]
    fitted = fit_thresholds(validation, names)
    assert fitted is not None
    scores = validation @ validation.T
    first, second = np.triu_indices(len(names), k=1)
    alike = names[first] == names[second]
    same, different = scores[first, second][alike], scores[first, second][~alike]
    assert (fitted.same, fitted.different) == (len(same), len(different))
    assert len(fitted.roc) <= 40
    assert (np.diff([fmr for _, fmr, _ in fitted.roc]) <= 0).all()
    for threshold, fmr, fnmr in fitted.roc:
        assert fmr == pytest.approx((different >= threshold).mean(), abs=1e-4)
        assert fnmr == pytest.approx((same < threshold).mean(), abs=1e-4)


def test_a_rate_that_too_few_pairs_could_show_has_no_threshold() -> None:
    validation, names = parts()[0]
    fitted = fit_thresholds(validation[:60], names[:60])
    assert fitted is not None
    assert [point.target for point in fitted.points] == [0.1]
    assert fit_thresholds(validation[:5], np.zeros(5, np.int64)) is None
    assert fit_thresholds(validation[:5], np.arange(5)) is None


def test_a_large_validation_part_is_sampled_by_the_seed() -> None:
    rng = np.random.default_rng(0)
    vectors, labels = rng.standard_normal((1_500, 4)), rng.integers(0, 3, 1_500)
    first, again, other = (fit_thresholds(vectors, labels, seed=seed) for seed in (0, 0, 1))
    assert first is not None
    assert first.images == 1_000
    assert first == again
    assert first != other


def test_queries_whose_class_is_missing_are_told_from_the_others() -> None:
    (validation, names), (query, labels), (gallery, gallery_labels) = parts()
    fitted = fit_thresholds(validation, names)
    assert fitted is not None
    assert fitted.rejection is not None
    assert fitted.rejection.accepted >= ACCEPTED
    kept = gallery_labels < 8
    data = RetrievalSet.of(query, labels, gallery[kept], gallery_labels[kept])
    found = measure_thresholds(fitted, data).open_set
    assert found is not None
    nearest = (query @ gallery[kept].T).max(axis=1)
    known = labels < 8
    assert not found.left_out
    assert (found.known, found.unknown) == (known.sum(), (~known).sum())
    assert found.auroc == pytest.approx(roc_auc_score(known, nearest), abs=1e-6)
    assert found.detected == (nearest[~known] < found.threshold).sum()
    assert found.refused == (nearest[known] < found.threshold).sum()


def test_where_no_class_is_missing_each_query_plays_the_unknown() -> None:
    (validation, names), (query, labels), (gallery, gallery_labels) = parts()
    fitted = fit_thresholds(validation, names)
    assert fitted is not None
    found = measure_thresholds(fitted, RetrievalSet.of(query, labels, gallery, gallery_labels)).open_set
    assert found is not None
    scores = query @ gallery.T
    same = labels[:, None] == gallery_labels[None, :]
    without = np.where(same, -1, scores).max(axis=1)
    assert found.left_out
    assert found.known == found.unknown == len(query)
    assert found.detected == (without < found.threshold).sum()
    truth = np.repeat([1, 0], len(query))
    assert found.auroc == pytest.approx(roc_auc_score(truth, np.concatenate((scores.max(axis=1), without))), abs=1e-6)
