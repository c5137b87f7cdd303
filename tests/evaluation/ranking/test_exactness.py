"""Ranks and metrics of real-valued vectors against float64, whatever the blocks, threads and order of the gallery."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from without_intervals import evaluate_values

from bench import evaluate
from bench.evaluation.metrics.ranking import score_ranks
from bench.evaluation.ranking.arrays import Ints
from bench.evaluation.ranking.backend import RankedBlock
from bench.evaluation.ranking.engine import rank_gallery
from bench.evaluation.ranking.relevance import build_layout
from bench.evaluation.ranking.vectors import check_vectors

pytestmark = pytest.mark.slow

KS = (1, 5, 20)
APART = 2e-5  # float32 keeps scores this far apart in order: their rounding is a hundredth of it


@dataclass(frozen=True)
class Problem:
    query: NDArray[np.float32]
    gallery: NDArray[np.float32]
    query_labels: Ints
    gallery_labels: Ints
    query_ids: Ints | None
    gallery_ids: Ints | None

    def scores(self) -> NDArray[np.float64]:
        """Cosines in float64; -inf for what a query may not see. Copies of an item score the same to the last bit."""
        query, gallery = (v.astype(np.float64) for v in (self.query, self.gallery))
        query /= np.linalg.norm(query, axis=1, keepdims=True)
        gallery /= np.linalg.norm(gallery, axis=1, keepdims=True)
        found: NDArray[np.float64] = np.einsum("qd,nd->qn", query, gallery)
        if self.query_ids is not None and self.gallery_ids is not None:
            found[self.query_ids[:, None] == self.gallery_ids[None]] = -np.inf
        return found


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """A few queries and up to 60 items, in any order; some items are copies of one another, across classes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, q, d = draw(st.integers(2, 60)), draw(st.integers(1, 9)), draw(st.sampled_from([2, 3, 8, 33]))
    gallery = rng.standard_normal((n, d)).astype(np.float32)
    gallery = gallery[rng.integers(0, n, n)] if draw(st.booleans()) else gallery
    labels = rng.integers(0, draw(st.integers(1, 5)), n)
    if draw(st.booleans()):
        rows = rng.integers(0, n, q)
        return Problem(gallery[rows], gallery, labels[rows], labels, rows, np.arange(n))
    query = rng.standard_normal((q, d)).astype(np.float32)
    return Problem(query, gallery, rng.choice(labels, q), labels, None, None)


def oracle(problem: Problem) -> list[dict[str, float] | None]:
    """Every ranking metric of every query from float64 scores, by counting and plain sums."""
    result: list[dict[str, float] | None] = []
    for i, line in enumerate(problem.scores()):
        relevant = (problem.gallery_labels == problem.query_labels[i]) & (line > -np.inf)
        if not relevant.any():
            result.append(None)
            continue
        own, others = np.sort(line[relevant])[::-1], line[~relevant & (line > -np.inf)]
        ranks = np.array([place + (others >= one - APART / 2).sum() for place, one in enumerate(own, start=1)])
        r, n, places = len(own), len(own) + len(others), np.arange(1, len(own) + 1)
        precisions = places / ranks
        scores = {
            "map": precisions.sum() / r,
            "map@r": precisions[ranks <= r].sum() / r,
            "r_precision": (ranks <= r).sum() / r,
            "mrr": 1 / ranks[0],
            "first_rank": ranks[0],
            "mean_rank": ranks.mean(),
            "mean_rank_norm": 0.0 if n == r else (ranks.mean() - (r + 1) / 2) / (n - r),
        }
        for k in KS:
            top = ranks <= k
            scores[f"map@{k}"] = precisions[top].sum() / min(k, r)
            scores[f"precision@{k}"] = top.sum() / k
            scores[f"recall@{k}"] = top.sum() / r
            scores[f"hit@{k}"] = top.any()
            scores[f"ndcg@{k}"] = (1 / np.log2(ranks[top] + 1)).sum() / (1 / np.log2(places[: min(k, r)] + 1)).sum()
        result.append({name: float(value) for name, value in scores.items()})
    return result


def separated(problem: Problem) -> bool:
    """Whether any two scores of a query are equal items' or far enough apart for float32."""
    for line in problem.scores():
        gaps = np.diff(np.sort(line[line > -np.inf]))
        if ((gaps > 1e-12) & (gaps < APART)).any():
            return False
    return True


def agree(found: dict[str, NDArray[np.float64]], wanted: list[dict[str, float] | None]) -> None:
    for name, values in found.items():
        expected = [float("nan") if scores is None else scores[name] for scores in wanted]
        assert np.allclose(values, expected, rtol=0, atol=1e-9, equal_nan=True), (name, values, expected)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(problem=problems(), data=st.data())
def test_ranks_equal_float64_for_every_block_size_and_one_or_two_threads(problem: Problem, data: st.DataObject) -> None:
    assume(separated(problem))
    layout = build_layout(problem.query_labels, problem.gallery_labels, problem.query_ids, problem.gallery_ids)
    queries, items = (check_vectors(v, "test", normalize=True) for v in (problem.query, problem.gallery))

    def score(block: RankedBlock) -> dict[str, NDArray[np.float64]]:
        return score_ranks(block.pessimistic, KS)

    block_rows = data.draw(st.integers(1, len(queries)), "block_rows")
    threads = data.draw(st.sampled_from([1, 2]), "threads")
    parts = rank_gallery(queries, items, layout, score, keep=1, threads=threads, block_rows=block_rows)
    agree({name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, oracle(problem))


@settings(max_examples=30, deadline=None, derandomize=True)
@given(problem=problems())
def test_the_top_alone_has_the_same_numbers_as_the_full_ranking(problem: Problem) -> None:
    assume(any(scores is not None for scores in oracle(problem)))
    both = [
        evaluate_values(
            problem.query,
            problem.query_labels,
            problem.gallery,
            problem.gallery_labels,
            query_ids=problem.query_ids,
            gallery_ids=problem.gallery_ids,
            ks=KS,
            full=full,
            threads=1,
        ).per_query
        for full in (True, False)
    ]
    assert "map" not in both[1]
    for name, values in both[1].items():
        assert np.array_equal(values, both[0][name], equal_nan=True), name


@pytest.mark.parametrize("sort", [True, False])
def test_constant_vectors_score_at_most_chance_on_sorted_galleries(*, sort: bool) -> None:
    labels = np.repeat(np.arange(5), 40)
    if not sort:
        np.random.default_rng(0).shuffle(labels)
    vectors = np.ones((len(labels), 16), np.float32)
    found = evaluate(vectors, labels, vectors, labels, query_ids=np.arange(200), gallery_ids=np.arange(200))
    chance = 39 / 199
    assert found.scores["map"] <= chance
    assert found.scores["precision@10"] <= chance
    assert found.scores["mean_rank_norm"] >= 0.5
    assert "collapsed" in found.flags
