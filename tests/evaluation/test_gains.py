"""nDCG where relevant items have gains: trec_eval's numbers, naive loops over ties, and every way of ranking."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import csr_array
from without_intervals import evaluate_values

from bench import DataError, Relevance, UsageError, evaluate
from bench.evaluation.ranking.backend import RankedBlock
from bench.evaluation.ranking.streaming import Windows

KS = (1, 3, 10)
Gains = NDArray[np.float64]


def lists_of(gains: Gains) -> dict[str, Any]:
    """The same judgements as two parallel lists a query; a judgement of 0 is listed, too."""
    judged = [np.flatnonzero(line >= 0) for line in gains]
    return {"positives": judged, "gains": [line[row].tolist() for line, row in zip(gains, judged, strict=True)]}


def drawn(seed: int, q: int = 7, n: int = 40) -> tuple[Gains, Gains, Gains]:
    rng = np.random.default_rng(seed)
    gains = rng.choice([-1, 0, 0.5, 1, 2, 3], size=(q, n), p=[0.6, 0.1, 0.06, 0.08, 0.08, 0.08])
    gains[0, 0] = 2
    return rng.standard_normal((q, 5)), rng.standard_normal((n, 5)), gains


@given(st.integers(0, 2**32))
@settings(max_examples=10, deadline=None)
def test_ndcg_is_trec_evals_and_all_else_sees_who_has_a_gain(seed: int) -> None:
    query, gallery, gains = drawn(seed)
    gains = np.where(gains == 0.5, 4, gains)  # trec_eval's judgements are whole numbers
    found = evaluate_values(query, None, gallery, None, **lists_of(gains), ks=KS, normalize=False, threads=1)
    plain = evaluate_values(query, None, gallery, None, positives=gains > 0, ks=KS, normalize=False, threads=1)
    judged = {str(row): {str(i): int(max(0, gain)) for i, gain in enumerate(line)} for row, line in enumerate(gains)}
    scores = query @ gallery.T
    ranked = {str(row): {str(i): float(score) for i, score in enumerate(line)} for row, line in enumerate(scores)}
    measures = {"ndcg_cut." + ",".join(map(str, KS))}
    theirs = pytrec_eval.RelevanceEvaluator(judged, measures).evaluate(ranked)
    for k in KS:
        expected = [
            theirs[str(row)][f"ndcg_cut_{k}"] if (gains[row] > 0).any() else np.nan for row in range(len(gains))
        ]
        np.testing.assert_allclose(found.per_query[f"ndcg@{k}"], expected, rtol=0, atol=1e-12)
    for name, values in plain.per_query.items():
        if not name.startswith("ndcg"):
            np.testing.assert_array_equal(found.per_query[name], values, err_msg=name)


def dcg(gains: list[float], k: int) -> float:
    return float(sum(gain / np.log2(rank + 2) for rank, gain in enumerate(gains[:k])))


def test_ties_put_lower_gains_first_or_last_or_are_expected_over_all_orders() -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        n = 6
        scores, gains = rng.integers(1, 4, n).astype(np.float64), rng.choice([0.0, 1, 2.5, 4], n)
        gains[0] = 1
        orders = [list(one) for one in itertools.permutations(range(n)) if (np.diff(scores[list(one)]) <= 0).all()]
        asked = {"positives": [range(n)], "gains": [gains], "normalize": False, "ks": (2, 4, 6), "threads": 1}
        for k in (2, 4, 6):
            ideal = dcg(sorted(gains, reverse=True), k)
            values = [dcg(gains[order].tolist(), k) / ideal for order in orders]
            by = {
                ties: evaluate_values([[1.0]], None, scores[:, None], None, **asked, ties=ties).scores[f"ndcg@{k}"]
                for ties in ("pessimistic", "optimistic", "mean")
            }
            expected = min(values), max(values), float(np.mean(values))
            assert tuple(by.values()) == pytest.approx(expected, abs=1e-12), (seed, k)


@pytest.mark.parametrize("full", [True, False])
def test_every_way_of_ranking_and_every_form_gives_one_ndcg(full: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    query = rng.integers(-2, 3, (30, 3)) + np.array([0.5, 0, 0])
    gallery = rng.integers(-2, 3, (300, 3)) + np.array([0.5, 0, 0])
    gains = rng.choice([-1, 0, 1, 2, 3], size=(30, 300), p=[0.9, 0.02, 0.03, 0.03, 0.02])
    gains[:, 0] = 1
    made: dict[str, Any] = {"ks": (1, 5, 20), "full": full, "normalize": False, "threads": 1}
    ids = [f"g{row}" for row in rng.permutation(300)]
    named = {"positives": [[ids[i] for i in np.flatnonzero(line >= 0)] for line in gains]}
    plain = evaluate_values(query, None, gallery, None, **lists_of(gains), **made)
    ways = [
        evaluate_values(query, None, gallery, None, positives=gains > 0, gains=gains, **made),
        evaluate_values(query, None, gallery, None, positives=gains >= 0, gains=csr_array(gains.clip(0)), **made),
        evaluate_values(
            query, None, gallery, None, **named, gains=lists_of(gains)["gains"],
            query_ids=[f"q{row}" for row in range(30)], gallery_ids=ids, **made,
        ),
        evaluate_values(query, None, gallery, None, **lists_of(gains), device="cpu:0", **made),
    ]  # fmt: skip
    monkeypatch.setattr("bench.evaluation.ranking.backend._HELD_BYTES", 0)
    monkeypatch.setattr("bench.evaluation.ranking.engine.fitting_rows", lambda _: 0)
    monkeypatch.setattr("bench.evaluation.ranking.streaming._LEAST_WINDOW", 64)
    monkeypatch.setattr("bench.evaluation.ranking.streaming._WINDOW_RELEVANT", 0)
    blocks: list[int] = []
    ranked = Windows.ranked

    def counted(self: Windows, rows: slice) -> Iterator[RankedBlock]:
        blocks.append(rows.start)
        return ranked(self, rows)

    monkeypatch.setattr(Windows, "ranked", counted)
    ways.append(evaluate_values(query, None, gallery, None, **lists_of(gains), **made))
    assert blocks
    for k in (1, 5, 20):
        assert k == 1 or len(set(plain.per_query[f"ndcg@{k}"].tolist())) > k
        for way in ways:
            np.testing.assert_allclose(way.per_query[f"ndcg@{k}"], plain.per_query[f"ndcg@{k}"], rtol=0, atol=1e-12)


def test_replicates_are_evaluations_without_a_group_of_images_and_their_gains() -> None:
    query, gallery, gains = drawn(5, q=40, n=60)
    gains[:, :2] = [2, 1]
    found = evaluate(query, None, gallery, None, **lists_of(gains), ks=[3, 60], normalize=False, threads=1)
    groups = found.replicates.image_groups
    for group in (0, groups.count - 1):
        asks, there = groups.query != group, groups.gallery != group
        rest = gains[np.ix_(asks, there)]
        one = evaluate_values(
            query[asks], None, gallery[there], None, **lists_of(rest), ks=[3, 60], normalize=False, threads=1
        )
        for name in ("ndcg@3", "ndcg@60", "map"):
            assert found.replicates.these_classes[name][group] == pytest.approx(one.scores[name], abs=1e-12)


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        ({"gains": [[1], [1]]}, UsageError, "gains given without positives"),
        ({"positives": [[0], [1]], "gains": [[1], [1, 2]]}, DataError, "gains of query 1: 2 numbers for 1 positives"),
        ({"positives": [[0], [1]], "gains": [[1]]}, DataError, "gains must hold a list for each of 2 queries, got 1"),
        ({"positives": [[0], [1]], "gains": [[1], [-1]]}, DataError, "gains of query 1: -1 is not a finite number"),
        ({"positives": [[0], [1]], "gains": [[1], ["a"]]}, DataError, "gains must be numbers"),
        (
            {"positives": [[0, 0], [1]], "gains": [[1, 2], [1]]},
            DataError,
            "query 0.*with the gains 1 and 2; give it one",
        ),
        ({"positives": np.eye(2, dtype=bool), "gains": [1, 2]}, DataError, "gains must be a matrix, as positives are"),
    ],
)
def test_gains_that_do_not_fit_are_refused(asked: dict[str, Any], error: type[Exception], said: str) -> None:
    labels = [0, 1] if "positives" not in asked else None
    with pytest.raises(error, match=said):
        evaluate_values(np.eye(2), labels, np.eye(2), labels, **asked)


def test_relevance_takes_off_what_is_worth_nothing_and_keeps_gains_beside_their_items() -> None:
    asked = Relevance(positives=(("a", "b", "c"), ("c",)), ignored=(("b",), ()), gains=((2, 0, 1), (3,)))
    assert (asked.positives, asked.gains) == ((("a", "c"), ("c",)), ((2, 1), (3,)))
    assert (asked.among({"c"}).positives, asked.among({"c"}).gains) == ((("c",), ("c",)), ((1,), (3,)))
    assert asked.subset([1]) == Relevance((("c",),), ((),), ((3,),))
    with pytest.raises(DataError, match="gains are one number for each of the positives"):
        Relevance(positives=(("a",),), gains=((1, 2),))
    with pytest.raises(DataError, match="query 0: the gain -1 is not a finite number of 0 or more"):
        Relevance(positives=(("a",),), gains=((-1,),))
