"""The whole of evaluate against a slow oracle: plain loops over explicit sorted lists, one query at a time."""

from __future__ import annotations

import functools
import itertools
import math
import sys
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bench.contract import DataError
from bench.evaluation.evaluate import Evaluation, evaluate
from bench.evaluation.metrics.verification import pair_metrics
from bench.evaluation.replicates import Ranked

pytestmark = pytest.mark.slow

KS = (1, 2, 3, 12)


@dataclass(frozen=True)
class Case:
    """Small whole-number vectors: inner products are exact, and ties are everywhere."""

    query: list[list[int]]
    query_labels: list[int]
    gallery: list[list[int]]
    gallery_labels: list[int]
    query_ids: list[int] | None
    gallery_ids: list[int] | None


@st.composite
def cases(draw: st.DrawFn) -> Case:
    d = draw(st.integers(1, 3))
    row = st.lists(st.integers(-2, 2), min_size=d, max_size=d).filter(any)
    gallery = draw(st.lists(row, min_size=1, max_size=8))
    query = draw(st.lists(row, min_size=1, max_size=4))
    label = st.integers(0, draw(st.integers(0, 3)))
    with_ids = draw(st.booleans())
    one_id = st.integers(0, 9)

    def several(strategy: st.SearchStrategy[int], n: int) -> list[int]:
        return draw(st.lists(strategy, min_size=n, max_size=n))

    return Case(
        query,
        several(label, len(query)),
        gallery,
        several(label, len(gallery)),
        several(one_id, len(query)) if with_ids else None,
        several(one_id, len(gallery)) if with_ids else None,
    )


def ranked_items(case: Case, i: int) -> list[tuple[int, bool, int, int, int]]:
    """(score, relevant, label, id, position) of every item ranked for query i, best first, ties against the query."""
    items = []
    for j, vector in enumerate(case.gallery):
        if case.query_ids is not None and case.gallery_ids is not None and case.query_ids[i] == case.gallery_ids[j]:
            continue
        score = sum(a * b for a, b in zip(case.query[i], vector, strict=True))
        relevant = case.query_labels[i] == case.gallery_labels[j]
        one_id = 0 if case.gallery_ids is None else case.gallery_ids[j]
        items.append((score, relevant, case.gallery_labels[j], one_id, j))
    return sorted(items, key=lambda item: (-item[0], item[1], item[2], item[3], item[4]))


def orders(items: list[tuple[int, bool, int, int, int]], ties: str) -> list[list[bool]]:
    """Every ranking, as relevant or not by rank, that the way of settling ties allows; all equally likely."""
    runs = [[one[1] for one in run] for _, run in itertools.groupby(items, key=lambda item: item[0])]
    if ties != "mean":
        return [[flag for run in runs for flag in sorted(run, reverse=ties == "optimistic")]]
    placed = [
        [[place in chosen for place in range(len(run))] for chosen in itertools.combinations(range(len(run)), sum(run))]
        for run in runs
    ]
    return [list(itertools.chain.from_iterable(order)) for order in itertools.product(*placed)]


def precision_sum(flags: list[bool], last: int) -> float:
    total, hits = 0.0, 0
    for rank, flag in enumerate(flags[:last], start=1):
        if flag:
            hits += 1
            total += hits / rank
    return total


def plain_metrics(flags: list[bool]) -> dict[str, float]:
    n, r = len(flags), sum(flags)
    ranks = [rank for rank, flag in enumerate(flags, start=1) if flag]
    mean_rank = sum(ranks) / r
    scores = {
        "map": precision_sum(flags, n) / r,
        "map@r": precision_sum(flags, r) / r,
        "r_precision": sum(flags[:r]) / r,
        "mrr": 1 / ranks[0],
        "first_rank": float(ranks[0]),
        "mean_rank": mean_rank,
        "mean_rank_norm": 0.0 if n == r else (mean_rank - (r + 1) / 2) / (n - r),
    }
    for k in KS:
        scores[f"map@{k}"] = precision_sum(flags, k) / min(k, r)
        scores[f"precision@{k}"] = sum(flags[:k]) / k
        scores[f"recall@{k}"] = sum(flags[:k]) / r
        scores[f"hit@{k}"] = float(any(flags[:k]))
        gain = sum(1 / math.log2(rank + 1) for rank in ranks if rank <= k)
        scores[f"ndcg@{k}"] = gain / sum(1 / math.log2(rank + 1) for rank in range(1, min(k, r) + 1))
    return scores


def plain_vote(items: list[tuple[int, bool, int, int, int]], label: int, k: int) -> float:
    votes: dict[int, tuple[int, int]] = {}
    for score, _, other, _, _ in items[:k]:
        count, total = votes.get(other, (0, 0))
        votes[other] = (count + 1, total + score)
    own = votes.pop(label, None)
    return float(own is not None and all(own > other for other in votes.values()))


def expected(case: Case, ties: str) -> list[dict[str, float] | None]:
    """Every metric of every query, None where the query has nothing to find."""
    result: list[dict[str, float] | None] = []
    for i, label in enumerate(case.query_labels):
        items = ranked_items(case, i)
        if not any(item[1] for item in items):
            result.append(None)
            continue
        every = [plain_metrics(order) for order in orders(items, ties)]
        scores = {name: math.fsum(one[name] for one in every) / len(every) for name in every[0]}
        best, worst = orders(items, "optimistic")[0], orders(items, "pessimistic")[0]
        scores["map_optimistic"] = plain_metrics(best)["map"]
        scores["tied_queries"] = float(best != worst)
        scores |= {f"knn_accuracy@{k}": plain_vote(items, label, k) for k in KS}
        result.append(scores)
    return result


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replicates and pairs have tests of their own; here they would take most of the time."""
    module = sys.modules[evaluate.__module__]
    monkeypatch.setattr(Ranked, "replicates", lambda *_, threads: {})
    monkeypatch.setattr(module, "pair_metrics", functools.partial(pair_metrics, pairs=9))


def run(case: Case, ties: str) -> Evaluation:
    return evaluate(
        np.array(case.query, dtype=np.float32),
        case.query_labels,
        np.array(case.gallery, dtype=np.float32),
        case.gallery_labels,
        query_ids=case.query_ids,
        gallery_ids=case.gallery_ids,
        ks=KS,
        normalize=False,
        ties=ties,
        threads=1,
    )


@pytest.mark.parametrize("ties", ["pessimistic", "optimistic", "mean"])
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(case=cases())
@example(case=Case([[1]], [0], [[1]], [0], None, None))  # one image
@example(case=Case([[1]], [0], [[1], [2], [1]], [0, 0, 0], None, None))  # one class
@example(case=Case([[1], [2]], [0, 1], [[1], [2], [1]], [0, 0, 0], None, None))  # a query with R = 0
@example(case=Case([[1], [2]], [0, 1], [[1], [2]], [0, 1], [7, 8], [7, 8]))  # nothing left but the query itself
def test_every_number_equals_the_slow_oracle(ties: str, case: Case) -> None:
    wanted = expected(case, ties)
    found = [scores for scores in wanted if scores is not None]
    if not found:
        with pytest.raises(DataError, match="has a relevant item"):
            run(case, ties)
        return
    result = run(case, ties)
    for i in range(len(wanted)):
        items = ranked_items(case, i)
        assert result.per_query["items"][i] == len(items)
        assert result.per_query["relevant"][i] == sum(item[1] for item in items)
        k = result.neighbors.shape[1]
        assert result.neighbors[i].tolist() == [item[4] for item in items][:k] + [-1] * (k - len(items))
        assert result.similarities[i, : len(items)].tolist() == [item[0] for item in items]
        assert np.isnan(result.similarities[i, len(items) :]).all()
    for name, values in result.per_query.items():
        if name not in ("relevant", "items"):
            slow = [math.nan if scores is None else scores[name] for scores in wanted]
            assert np.allclose(values, slow, rtol=0, atol=1e-12, equal_nan=True), (name, values, slow)
    for name in found[0]:
        assert result.scores[name] == pytest.approx(np.mean([scores[name] for scores in found]), abs=1e-12)
    assert result.scores["queries_without_relevant"] == len(wanted) - len(found)
    assert set(result.macro) == set(found[0])
