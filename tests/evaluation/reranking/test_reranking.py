"""Re-ranking against slow, plain loops, on vectors where a tie has no chance."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_digits

from bench.contract import UsageError
from bench.evaluation.ranking.retrieval_set import RetrievalSet
from bench.evaluation.reranking.diffusion import Diffuse, normalized_graph, solve
from bench.evaluation.reranking.embedded import Embedded
from bench.evaluation.reranking.pipeline import Reranking, parse_stages
from bench.evaluation.reranking.reciprocal import KReciprocal
from bench.evaluation.reranking.vector_stages import AugmentDatabase, ExpandQueries, Whiten, fit_projection


def embedded(query: np.ndarray, gallery: np.ndarray, *, ids: np.ndarray | None = None, train: Any = None) -> Embedded:
    """Return vectors to search; ids: of both sides. Labels do not matter here."""
    labels = [np.zeros(len(side), dtype=np.int64) for side in (query, gallery)]
    data = RetrievalSet.of(query, labels[0], gallery, labels[1], query_ids=ids, gallery_ids=ids, train=train)
    return Embedded.of(data)


def problem(seed: int, *, loo: bool = False, n: int = 60, d: int = 6) -> Embedded:
    """Return clustered vectors: 9 queries and n items, or (loo) n items that ask each other."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((4, d)) + 0.5
    gallery = centres[np.arange(n) % 4] + 0.6 * rng.standard_normal((n, d))
    if loo:
        names = np.array([f"image {number}" for number in rng.permutation(n)])
        return embedded(gallery, gallery, ids=names)
    return embedded(centres[np.arange(9) % 4] + 0.6 * rng.standard_normal((9, d)), gallery)


def ranking(vector: np.ndarray, others: np.ndarray, leave_out: set[int]) -> list[int]:
    """Return the rows of ``others`` by inner product, best first."""
    return [int(i) for i in np.argsort(-(others.astype(np.float64) @ vector)) if int(i) not in leave_out]


def unit(vector: np.ndarray) -> np.ndarray:
    return np.asarray(vector / np.linalg.norm(vector))


@pytest.mark.parametrize("loo", [False, True])
@pytest.mark.parametrize(("n", "alpha"), [(1, 3.0), (5, 3.0), (5, 0.0), (500, 1.0)])
def test_alpha_query_expansion_is_the_plain_loop(loo: bool, n: int, alpha: float) -> None:
    data = problem(1, loo=loo)
    moved = ExpandQueries(n, alpha)(data)
    for row, query in enumerate(data.query):
        total = query.astype(np.float64)
        for item in ranking(query, data.gallery, {row} if loo else set())[:n]:
            total = total + max(0.0, float(query @ data.gallery[item])) ** alpha * data.gallery[item]
        np.testing.assert_allclose(moved.query[row], unit(total), atol=2e-6)
    assert moved.gallery is data.gallery


def test_database_augmentation_is_the_plain_loop_and_leaves_queries_alone() -> None:
    data = problem(2)
    moved = AugmentDatabase(4, 2.0)(data)
    for row, item in enumerate(data.gallery):
        total = item.astype(np.float64)
        for other in ranking(item, data.gallery, {row})[:4]:
            total = total + max(0.0, float(item @ data.gallery[other])) ** 2 * data.gallery[other]
        np.testing.assert_allclose(moved.gallery[row], unit(total), atol=2e-6)
    assert moved.query is data.query


def naive_k_reciprocal(vectors: np.ndarray, node: int, items: list[int], stage: KReciprocal) -> list[float]:
    """Return the final distances of Zhong et al. from a row to others, with sets and loops."""
    k1, k2, weight = stage.k1, stage.k2, stage.weight
    near = [ranking(vector, vectors, {row}) for row, vector in enumerate(vectors)]

    @cache
    def reciprocal(p: int, k: int) -> set[int]:
        return {g for g in near[p][:k] if p in near[g][:k]} | {p}

    def expanded(p: int) -> set[int]:
        found = set(reciprocal(p, k1))
        for q in reciprocal(p, k1):
            own = reciprocal(q, max(1, round(k1 / 2)))
            if len(own & reciprocal(p, k1)) >= 2 / 3 * len(own) - 1e-9:
                found |= own
        return found

    def distance(p: int, g: int) -> float:
        return float(np.linalg.norm(vectors[p].astype(np.float64) - vectors[g]))

    @cache
    def code(p: int) -> np.ndarray:
        value = np.zeros(len(vectors))
        for g in expanded(p):
            value[g] = np.exp(-distance(p, g))
        return np.asarray(value / value.sum())

    def averaged(p: int) -> np.ndarray:
        return np.asarray(np.mean([code(g) for g in [p, *near[p][: k2 - 1]]], axis=0))

    own, found = averaged(node), []
    for item in items:
        other = averaged(item)
        jaccard = 1 - np.minimum(own, other).sum() / np.maximum(own, other).sum()
        found.append(float((1 - weight) * jaccard + weight * distance(node, item)))
    return found


@pytest.mark.parametrize(("k1", "k2", "weight"), [(8, 3, 0.3), (5, 1, 0.0), (20, 6, 0.5)])
@pytest.mark.parametrize("loo", [False, True])
def test_k_reciprocal_encoding_is_the_plain_loop(loo: bool, k1: int, k2: int, weight: float) -> None:
    data = problem(3, loo=loo, n=40)
    found = data.shortlist(12)
    stage = KReciprocal(k1, k2, weight)
    scores = stage(data, found)
    vectors = data.gallery if loo else np.concatenate((data.gallery, data.query))
    for row in (0, 3, 8):
        node = row if loo else len(data.gallery) + row
        wanted = naive_k_reciprocal(vectors, node, found.items[row].tolist(), stage)
        np.testing.assert_allclose(-scores[row], wanted, atol=1e-6)


def test_k_reciprocal_of_a_query_depends_on_that_query_alone() -> None:
    data = problem(4, loo=True, n=40)
    moved = ExpandQueries(5)(data)
    found = moved.shortlist(5)
    alone = Embedded(moved.query[:1], moved.gallery, moved.query_ids[:1], moved.gallery_ids)
    scores = KReciprocal(8, 3, 1.0)(alone, alone.shortlist(5))
    assert alone.shortlist(5).items[0].tolist() == found.items[0].tolist()
    distance = np.linalg.norm(moved.query[0] - moved.gallery[found.items[0]], axis=1)
    np.testing.assert_allclose(-scores[0], distance, atol=1e-6)


def test_diffusion_solves_its_equation() -> None:
    data = problem(5)
    stage = Diffuse(k=6, start=3, iterations=500)
    found = data.shortlist(60)
    scores = stage(data, found)
    near = [ranking(item, data.gallery, {row})[:6] for row, item in enumerate(data.gallery)]
    affinity = np.zeros((60, 60))
    for i in range(60):
        for j in near[i]:
            if i in near[j]:
                affinity[i, j] = max(0.0, float(data.gallery[i] @ data.gallery[j])) ** 3
    degree = affinity.sum(axis=1)
    scale = np.where(degree > 0, degree, 1) ** -0.5
    flow = scale[:, None] * affinity * scale
    for row, query in enumerate(data.query):
        start = np.zeros(60)
        for item in ranking(query, data.gallery, set())[:3]:
            start[item] = max(0.0, float(query @ data.gallery[item])) ** 3
        wanted = np.linalg.solve(np.eye(60) - 0.99 * flow, start)
        np.testing.assert_allclose(scores[row], wanted[found.items[row]], rtol=1e-4, atol=1e-5)


def test_diffusion_of_many_queries_is_that_of_each_alone() -> None:
    data = problem(6)
    flow = normalized_graph(data.gallery, data.gallery_ids, 5, 3.0)
    assert abs(flow - flow.T).max() < 1e-12
    assert np.linalg.eigvalsh(flow.toarray()).max() <= 1 + 1e-6
    start = np.random.default_rng(0).random((60, 4)) * np.array([1.0, 1e-3, 0.0, 5.0])
    together = solve(sparse.csr_array(flow), start, 0.9, 15)
    for column in range(4):
        alone = solve(flow, start[:, [column]], 0.9, 15)[:, 0]
        np.testing.assert_allclose(together[:, column], alone, rtol=1e-9, atol=1e-15)
    assert (together[:, 2] == 0).all()


def test_whitening_is_fitted_on_training_vectors_alone() -> None:
    rng = np.random.default_rng(7)
    train = rng.standard_normal((400, 5)) * [5, 3, 2, 1, 0.5] + 1
    project = fit_projection(train.astype(np.float32), whiten=True)
    turned = (train.astype(np.float32) - project.mean) @ project.axes.T
    np.testing.assert_allclose(np.cov(turned.T), np.eye(5), atol=1e-3)
    query, gallery = rng.random((3, 5)), rng.random((30, 5))
    few = Whiten(dims=2)(embedded(query[:1], gallery[:9], train=train))
    many = Whiten(dims=2)(embedded(query, gallery, train=train))
    assert few.query.shape == (1, 2)
    np.testing.assert_allclose(few.gallery, many.gallery[:9], atol=1e-6)
    with pytest.raises(UsageError, match="fitted on training vectors, and there are none"):
        Whiten()(embedded(query, gallery))
    with pytest.raises(UsageError, match=r"6 principal components asked for, but the 400 vectors .* span 5 of 5"):
        fit_projection(train.astype(np.float32), dims=6)
    flat = (train * [1, 1, 1, 0, 0]).astype(np.float32)
    assert fit_projection(flat, dims=5).axes.shape == (5, 5)
    assert fit_projection(flat, whiten=True).axes.shape == (3, 5)


def test_projection_is_the_pca_of_scikit_learn() -> None:
    from sklearn.decomposition import PCA

    vectors = np.random.default_rng(8).standard_normal((200, 6)) * [4, 3, 2, 1, 1, 1]
    project = fit_projection(vectors.astype(np.float32), dims=3)
    wanted = PCA(3).fit(vectors)
    np.testing.assert_allclose(np.abs(project.axes), np.abs(wanted.components_), atol=1e-4)


def test_a_query_is_never_among_its_results_however_often_it_is_in_the_gallery() -> None:
    data = problem(9, loo=True)
    names = np.arange(60) // 3  # three gallery items an id
    data = embedded(data.query, data.gallery, ids=names)
    assert data.spare == 3
    found = data.shortlist(60)
    assert (found.items[:, -3:] == -1).all()
    assert (found.items[:, :57] >= 0).all()
    for row, items in enumerate(found.items):
        assert not {3 * (row // 3), 3 * (row // 3) + 1, 3 * (row // 3) + 2} & set(items.tolist())


@pytest.mark.parametrize("words", ["", "aqe", "dba,aqe", "k-reciprocal", "aqe, diffusion"])
def test_every_stage_ranks_real_digits_in_full_and_about_as_well_as_none(words: str) -> None:
    images, labels = load_digits(return_X_y=True)
    images = images[:800] - images[800:].mean(axis=0)
    data = embedded(images[:100], images[100:])
    found = parse_stages(words).search(data, 10)
    assert found.items.shape == (100, 10)
    assert (np.diff(found.similarities, axis=1) <= 0).all()
    right, before = (
        (labels[100:800][items] == labels[:100, None]).mean() for items in (found.items, data.shortlist(10).items)
    )
    assert right > before - 0.03  # raw pixels: no stage has to gain


def test_words_for_stages_are_checked() -> None:
    assert parse_stages(" ") == Reranking()
    with pytest.raises(UsageError, match="did you mean 'diffusion'"):
        parse_stages("difusion")
    with pytest.raises(UsageError, match="must come last"):
        parse_stages("diffusion,aqe")
    for wrong in (lambda: ExpandQueries(0), lambda: KReciprocal(weight=2), lambda: Diffuse(alpha=1.0)):
        with pytest.raises(UsageError, match="must be"):
            wrong()
