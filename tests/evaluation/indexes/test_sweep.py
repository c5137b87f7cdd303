"""The frontier's numbers against those of the evaluation itself and against plain loops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_digits

from bench.contract import UsageError
from bench.evaluation.evaluate import evaluate
from bench.evaluation.indexes.sweep import Point, Reduction, Sweep, mark_front, neighbor_recall
from bench.evaluation.metrics import ranking
from bench.evaluation.ranking.retrieval_set import RetrievalSet
from bench.evaluation.reranking.embedded import Embedded, Shortlist, shortlist_ranks, unit_or_zero

IMAGES, LABELS = (array[:400] for array in load_digits(return_X_y=True))
IDS = np.array([f"digit {number}" for number in range(len(IMAGES))])


def digits(*, loo: bool, train: np.ndarray | None = None) -> RetrievalSet:
    if loo:
        return RetrievalSet.of(IMAGES, LABELS, IMAGES, LABELS, query_ids=IDS, gallery_ids=IDS)
    return RetrievalSet.of(IMAGES[:50], LABELS[:50], IMAGES[50:], LABELS[50:], train=train)


def score(found: Shortlist, data: RetrievalSet, k: int) -> tuple[float, float]:
    ranks = shortlist_ranks(found, data, k)
    return float(np.nanmean(ranking.average_precision_at(ranks, k))), float(np.nanmean(ranking.hit_at(ranks, 1)))


def point(precision: float, ms: float, size: float) -> Point:
    times = np.full(3, ms)
    return Point("full", 8, "flat", "Flat", "", precision, 1.0, 1.0, size, 0.1, times, times * 2)


@pytest.mark.parametrize("loo", [False, True])
def test_the_exact_index_scores_what_the_evaluation_scores(loo: bool) -> None:
    data = digits(loo=loo)
    sweep = Sweep(data, 10, timed=3)
    ((found,),) = sweep.measure(sweep.plan([64], ["flat"]))
    query, gallery = (IMAGES, IMAGES) if loo else (IMAGES[:50], IMAGES[50:])
    ids = IDS if loo else None
    known = evaluate(
        query, data.query_labels, gallery, data.gallery_labels, query_ids=ids, gallery_ids=ids, ks=(1, 10)
    ).scores
    assert found.map_at_k == pytest.approx(known["map@10"], abs=1e-12)
    assert found.hit_at_1 == pytest.approx(known["hit@1"], abs=1e-12)
    assert found.recall_at_k == 1.0
    assert found.bytes_per_image == pytest.approx(256, abs=2)
    assert len(found.wall_ms) == len(found.cpu_ms) == 3


def test_scores_follow_the_definition_and_the_worked_case() -> None:
    """Ranking 1 0 1 0 0 1 and R = 3: map@3 = .5556, map@6 = .7222; what is not found is not relevant."""
    labels = np.array([1, 0, 1, 0, 0, 1])
    data = RetrievalSet.of(np.ones((1, 2)), np.array([1]), np.ones((6, 2)), labels)
    similarity = np.arange(6, 0, -1, dtype=np.float32)[None]
    items = np.arange(6, dtype=np.int64)[None]
    assert score(Shortlist(items[:, :3], similarity[:, :3]), data, 3)[0] == pytest.approx((1 + 2 / 3) / 3)
    assert score(Shortlist(items, similarity), data, 6) == pytest.approx(((1 + 2 / 3 + 3 / 6) / 3, 1.0))
    missing = np.where(items == 2, -1, items)
    assert score(Shortlist(missing, similarity), data, 6)[0] == pytest.approx((1 + 2 / 6) / 3)
    tied = np.ones_like(similarity)  # ranks 4, 5, 6
    assert score(Shortlist(items, tied), data, 6) == pytest.approx(((1 / 4 + 2 / 5 + 3 / 6) / 3, 0.0))


def test_a_query_with_nothing_to_find_is_left_out() -> None:
    half = RetrievalSet.of(IMAGES[:2], [7, 5], IMAGES[2:6], [7, 7, 8, 8])
    items, similarity = np.array([[0, 1], [0, 1]]), np.array([[2, 1], [2, 1]], dtype=np.float32)
    assert score(Shortlist(items, similarity), half, 2) == (1.0, 1.0)


def embedded(query: np.ndarray, gallery: np.ndarray) -> Embedded:
    unit = [unit_or_zero(part.astype(np.float32)) for part in (query, gallery)]
    return Embedded(unit[0], unit[1], np.arange(len(query)), np.arange(len(gallery)) + len(query))


def test_neighbour_recall_is_the_share_of_the_exact_ones() -> None:
    vectors = embedded(IMAGES[:2], IMAGES[2:])
    exact = vectors.shortlist(3).items
    far = np.argmin(vectors.query @ vectors.gallery.T, axis=1)
    assert neighbor_recall(exact, exact, vectors) == 1.0
    short = np.array([[exact[0, 2], far[0], exact[0, 0]], [-1, -1, exact[1, 0]]])
    assert neighbor_recall(short, exact, vectors) == pytest.approx((2 / 3 + 1 / 3) / 2)
    fewer = np.array([exact[0], [exact[1, 0], -1, -1]])  # one neighbour in all, and a query without any
    assert neighbor_recall(short, fewer, vectors) == pytest.approx((2 / 3 + 1) / 2)
    assert neighbor_recall(short, np.array([exact[0], [-1, -1, -1]]), vectors) == pytest.approx(2 / 3)


def test_neighbour_recall_counts_any_of_equally_similar_items() -> None:
    """Every picture is there five times: an index that returns other copies than the exact search loses nothing."""
    vectors = embedded(IMAGES[:40], np.tile(IMAGES[40:80], (5, 1)))
    exact = vectors.shortlist(7).items
    copies = (exact + 40) % 200
    assert 0 < np.mean([len(set(a) & set(b)) / 7 for a, b in zip(exact, copies, strict=True)]) < 1
    assert neighbor_recall(copies, exact, vectors) == 1.0


@pytest.mark.parametrize("seed", range(3))
def test_neighbour_recall_is_what_plain_loops_count(seed: int) -> None:
    """Codes of few bits, as hashing makes them: most similarities are shared by many items."""
    rng = np.random.default_rng(seed)
    vectors = embedded(rng.choice([-1.0, 1.0], (20, 8)), rng.choice([-1.0, 1.0], (120, 8)))
    exact, k = vectors.shortlist(9).items, 9
    found = np.stack([rng.permutation(exact_and_more(row, rng))[:k] for row in exact])
    shares = []
    for query, returned in zip(vectors.query, found, strict=True):
        known = sorted((float(np.round(sum(query * item), 6)) for item in vectors.gallery), reverse=True)
        hits = [float(np.round(sum(query * vectors.gallery[at]), 6)) >= known[k - 1] for at in returned]
        shares.append(sum(hits) / k)
    assert neighbor_recall(found, exact, vectors) == pytest.approx(np.mean(shares))


def exact_and_more(row: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.unique(np.concatenate([row, rng.integers(0, 120, 9)]))


def test_reductions_are_full_pca_and_truncation() -> None:
    sweep = Sweep(digits(loo=False), 5)
    tasks = sweep.plan([64, 16], ["flat"])
    assert [(task.reduction.name, task.reduction.dims) for task in tasks] == [
        ("full", 64),
        ("pca", 16),
        ("truncate", 16),
    ]
    short = Reduction("truncate", 16)(sweep.vectors.gallery)
    np.testing.assert_allclose(np.linalg.norm(short, axis=1), 1, atol=1e-6)
    assert (Reduction("truncate", 1)(np.array([[0.0, 1.0]], dtype=np.float32)) == 0).all()
    trained = Sweep(digits(loo=False, train=IMAGES[50:150]), 5).plan([16], ["flat"])[0].reduction.projection
    few = RetrievalSet.of(IMAGES[:50], LABELS[:50], IMAGES[50:150], LABELS[50:150])
    own = Sweep(few, 5).plan([16], ["flat"])[0].reduction.projection
    assert trained is not None
    assert own is not None
    np.testing.assert_array_equal(trained.axes, own.axes)


def test_a_sweep_measures_every_setting_of_every_task() -> None:
    sweep = Sweep(digits(loo=True), 5, timed=2)
    tasks = sweep.plan([64, 16], ["hnsw", "int8"])
    found = list(sweep.measure(tasks))
    assert [len(points) for points in found] == [len(task.recipe.settings) for task in tasks]
    assert all(0 < one.map_at_k <= 1 and one.latency("wall") > 0 for points in found for one in points)
    sizes = {(one.index, one.reduction): one.bytes_per_image for points in found for one in points}
    assert sizes["SQ8", "pca"] == pytest.approx(16 + (16 * 64 + 64) * 4 / 400, abs=1)  # the rotation is stored too


def test_the_front_is_what_nothing_else_beats() -> None:
    points = [point(0.9, 1, 100), point(0.8, 0.5, 100), point(0.8, 0.6, 100), point(0.7, 2, 10), point(0.7, 2, 10)]
    assert [one.front for one in mark_front(points)] == [True, True, False, True, True]
    slow = [point(0.9, 1, 100), replace(point(0.9, 9, 100), cpu_ms=np.full(3, 0.1))]
    assert [one.front for one in mark_front(slow, "wall")] == [True, False]
    assert [one.front for one in mark_front(slow, "processor")] == [False, True]
    assert mark_front([]) == ()


def test_impossible_plans_are_refused() -> None:
    data = digits(loo=False)
    with pytest.raises(UsageError, match="k must be from 1 to 349 for a gallery of 350, got 350"):
        Sweep(data, 350).plan()
    with pytest.raises(UsageError, match="dims must be from 1 to 64, which the vectors have, got 65"):
        Sweep(data, 5).plan([64, 65])
