"""ROC area and equal error rate over drawn pairs."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from bench.evaluation.metrics.verification import _different, _same, area_and_equal_error, pair_metrics
from bench.evaluation.ranking.relevance import Layout, build_layout
from bench.evaluation.ranking.retrieval_set import RetrievalSet


def test_the_area_is_scikit_learns_and_the_error_rate_is_where_both_errors_meet() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat([1, 0], 5_000)
    scores = np.round(rng.standard_normal(10_000) + truth, 1)  # with ties
    area, error = area_and_equal_error(truth, scores)
    assert area == pytest.approx(roc_auc_score(truth, scores))
    assert error == pytest.approx(0.3085, abs=0.02)  # two normal curves one deviation apart cross at 0.5


def test_separable_pairs_have_area_one_and_no_error() -> None:
    assert area_and_equal_error(np.array([1, 1, 0, 0]), np.array([4.0, 3.0, 2.0, 1.0])) == (1.0, 0.0)


def test_constant_scores_are_chance() -> None:
    assert area_and_equal_error(np.array([1, 0, 1, 0]), np.zeros(4)) == (0.5, 0.5)


def test_the_drawn_pairs_estimate_the_area_over_all_pairs() -> None:
    rng = np.random.default_rng(1)
    labels, gallery_labels = np.arange(60) % 3, np.arange(90) % 3
    query, gallery = (np.eye(3)[one] + 0.8 * rng.standard_normal((len(one), 3)) for one in (labels, gallery_labels))
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (query, gallery)]
    every = roc_auc_score((labels[:, None] == gallery_labels).ravel(), (unit[0] @ unit[1].T).ravel())
    area, _ = pair_metrics(RetrievalSet.of(query, labels, gallery, gallery_labels))
    assert area == pytest.approx(every, abs=0.015)


def test_one_kind_of_pair_alone_gives_nan() -> None:
    every_pair_same = RetrievalSet.of(np.eye(4), [0] * 4, np.eye(4), [0] * 4)
    only_itself_different = RetrievalSet.of(
        np.eye(2), [0, 0], np.eye(3)[:, :2] + 1, [0, 0, 1], query_ids=[7, 7], gallery_ids=[1, 2, 7]
    )
    for data in (every_pair_same, only_itself_different):
        assert np.isnan(pair_metrics(data)).all()


def test_every_item_of_a_kind_can_be_drawn_and_an_excluded_one_never() -> None:
    """By hand for every query: the n-th same and the n-th different item, ids repeated and across classes."""
    rng = np.random.default_rng(2)
    labels, gallery_labels = rng.integers(0, 3, 12), rng.integers(0, 3, 30)
    ids, gallery_ids = rng.integers(0, 9, 12), rng.integers(0, 9, 30)
    layout: Layout = build_layout(labels, gallery_labels, ids, gallery_ids)
    for i in range(12):
        allowed = [j for j in range(30) if gallery_ids[j] != ids[i]]
        for draw, wanted in (
            (_same, [j for j in allowed if gallery_labels[j] == labels[i]]),
            (_different, [j for j in allowed if gallery_labels[j] != labels[i]]),
        ):
            place = np.arange(len(wanted))
            columns = draw(layout, np.full(len(wanted), i), place)
            assert sorted(layout.order[columns].tolist()) == wanted


def test_the_query_itself_is_no_pair() -> None:
    """Leave-one-out with two opposite items a class: only the item itself would look alike."""
    vectors = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])
    labels, ids = np.array([0, 0, 1, 1]), np.arange(4)
    area, error = pair_metrics(RetrievalSet.of(vectors, labels, vectors, labels, query_ids=ids, gallery_ids=ids))
    assert (area, error) == (0.0, 1.0)


def test_the_same_seed_draws_the_same_pairs() -> None:
    rng = np.random.default_rng(3)
    vectors, labels, ids = rng.standard_normal((40, 5)), np.arange(40) % 4, np.arange(40)
    data = RetrievalSet.of(vectors, labels, vectors, labels, query_ids=ids, gallery_ids=ids)
    assert pair_metrics(data, seed=1) == pair_metrics(data, seed=1)
    assert pair_metrics(data, seed=1) != pair_metrics(data, seed=2)
