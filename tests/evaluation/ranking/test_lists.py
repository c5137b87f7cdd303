"""Positives and ignored items as lists: one ranking by every way, that of a loop over all pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array, csr_matrix
from without_intervals import evaluate_values

from bench import DataError, UsageError, evaluate
from bench.evaluation.ranking import fronts, kernel, streaming
from bench.evaluation.ranking.lists import Lists

CASES = 300
KS = (1, 3, 10)


@dataclass(frozen=True)
class Case:
    """Small whole numbers as vectors, so that products are exact and ties many; kind: 0 other, 1 positive, 2 ignored.

    own: each query's position in the gallery, where it has one: it is excluded.
    """

    query: NDArray[np.float32]
    gallery: NDArray[np.float32]
    kind: NDArray[np.int64]
    own: NDArray[np.int64] | None

    @classmethod
    def of(cls, seed: int) -> Case:
        rng = np.random.default_rng(seed)
        q, n = int(rng.integers(1, 9)), int(rng.integers(2, 60))
        gallery = rng.integers(-1, 2, (n, 3)).astype(np.float32)
        gallery[:, 0] = np.where(gallery.any(axis=1), gallery[:, 0], 1)
        own = rng.integers(0, n, q) if seed % 3 == 0 else None
        query = gallery[rng.integers(0, n, q) if own is None else own]
        kind = rng.choice(3, size=(q, n), p=rng.dirichlet([2, 1, 1]))
        kind[rng.integers(0, q), :] = np.where(
            np.arange(n) < 2, [1, 2][seed % 2], 0
        )  # a short list and no junk, or no positive
        kind[0, (0 if own is None or own[0] else 1)] = 1  # one at least has something to find
        return cls(query, gallery, kind, own)

    def asked(self) -> dict[str, Any]:
        """The arguments of an evaluation, with ids where queries are in the gallery."""
        n = len(self.gallery)
        names = np.array([f"i{(7 * item) % n:02}-{item}" for item in range(n)])
        items: Any = np.arange(n) if self.own is None else names
        lists = {
            name: [items[line == kind].tolist() for line in self.kind]
            for name, kind in (("positives", 1), ("ignore", 2))
        }
        return lists if self.own is None else lists | {"query_ids": names[self.own], "gallery_ids": names}

    def expected(self, row: int, *, ties: str) -> tuple[list[int], int]:
        """The ranks of a query's positives, and how many items are ranked: a loop."""
        scores = self.gallery.astype(np.float64) @ self.query[row]
        seen = [item for item in range(len(scores)) if self.kind[row, item] != 2]
        if self.own is not None:
            seen = [item for item in seen if item != self.own[row]]
        found = sorted((scores[item] for item in seen if self.kind[row, item] == 1), reverse=True)
        others = [scores[item] for item in seen if self.kind[row, item] == 0]
        above: Callable[[float, float], bool] = np.greater_equal if ties == "pessimistic" else np.greater
        return [place + sum(above(one, score) for one in others) for place, score in enumerate(found, 1)], len(seen)


def plain_metrics(ranks: list[int]) -> dict[str, float]:
    if not ranks:
        return {"map": np.nan, "mrr": np.nan, "mean_rank": np.nan} | {f"map@{k}": np.nan for k in KS}
    precision = [place / rank for place, rank in enumerate(ranks, 1)]
    cut = {f"map@{k}": sum(p for p, r in zip(precision, ranks, strict=True) if r <= k) / min(k, len(ranks)) for k in KS}
    return {"map": sum(precision) / len(ranks), "mrr": 1 / ranks[0], "mean_rank": sum(ranks) / len(ranks), **cut}


@contextmanager
def windows_of(columns: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.evaluation.ranking.backend._HELD_BYTES", 0)
        patch.setattr("bench.evaluation.ranking.engine.fitting_rows", lambda _: 0)
        patch.setattr("bench.evaluation.ranking.streaming._LEAST_WINDOW", columns)
        patch.setattr("bench.evaluation.ranking.streaming._WINDOW_RELEVANT", 0)
        yield


@contextmanager
def plain_kernel() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (fronts, streaming):
            patch.setattr(module, "count_block", kernel.count_block_numpy)
            patch.setattr(module, "nearest_columns", kernel.nearest_columns_numpy)
        yield


def scored(case: Case, **options: Any) -> dict[str, Any]:
    found = evaluate_values(
        case.query, None, case.gallery, None, **case.asked(), normalize=False, ks=KS, threads=1, **options
    )
    assert (found.macro, found.ci95_other_classes) == ({}, {})
    return {**found.per_query, "neighbors": found.neighbors, "similarities": found.similarities}


@pytest.mark.parametrize("block", range(6))
def test_lists_are_ranked_as_by_a_loop_over_all_pairs(block: int) -> None:
    for seed in range(block, CASES, 6):
        case, ties = Case.of(seed), ("pessimistic", "optimistic")[seed % 2]
        found = scored(case, ties=ties)
        for row in range(len(case.query)):
            ranks, items = case.expected(row, ties=ties)
            assert found["relevant"][row] == len(ranks)
            assert found["items"][row] == items
            for name, value in plain_metrics(ranks).items():
                assert found[name][row] == pytest.approx(value, abs=1e-12, nan_ok=True), (seed, row, name)
        assert not any(name.startswith("knn_accuracy") for name in found)


@pytest.mark.parametrize("way", ["windows", "device", "numpy", "top", "top in windows"])
def test_every_way_gives_the_same_ranking_of_lists(way: str) -> None:
    for seed in range(0, CASES, 5):
        case, full = Case.of(seed), not way.startswith("top")
        expected = scored(case)
        if way.endswith("windows"):
            with windows_of(64 if seed % 2 else 1):
                found = scored(case, full=full)
        elif way == "numpy":
            with plain_kernel():
                found = scored(case)
        else:
            found = scored(case, device="cpu:0" if way == "device" else "cpu", full=full)
        for name, values in found.items():
            rounding = 1e-14 if way == "device" else 0  # torch adds in its own order
            np.testing.assert_allclose(values, expected[name], rtol=rounding, err_msg=f"{seed} {name}")


def test_neighbours_with_equal_scores_stand_against_the_query() -> None:
    vectors = np.ones((6, 2))
    found = evaluate(vectors[:1], None, vectors, None, positives=[[0, 3]], ignore=[[2]], ks=[1])
    assert found.neighbors[0].tolist() == [1, 4, 5, 0, 3, -1]


def test_lists_of_one_label_are_the_label(digits_like: tuple[NDArray[np.float32], NDArray[np.int64]]) -> None:
    """The same relevance said in three forms: numbers, intervals and controls that do not need labels are the same."""
    vectors, labels = digits_like
    ids = np.arange(len(vectors))
    alike = labels[:, None] == labels[None]
    asked: dict[str, Any] = {"query_ids": ids, "gallery_ids": ids, "ks": [5]}
    plain = evaluate(vectors, labels, vectors, labels, **asked)
    listed = [np.flatnonzero(line) for line in alike]
    for positives in (listed, alike, torch.from_numpy(alike), csr_matrix(alike), csr_array(alike.astype(np.float32))):
        found = evaluate(vectors, None, vectors, None, positives=positives, **asked)
        for name in found.per_query:
            np.testing.assert_array_equal(found.per_query[name], plain.per_query[name], err_msg=name)
        assert found.scores["map"] == plain.scores["map"]
        assert abs(found.scores["pair_auc"] - plain.scores["pair_auc"]) < 0.02
        width = [high - low for low, high in (found.ci95["map"], plain.ci95["map"])]
        assert 0.5 < width[0] / width[1] < 2


@pytest.fixture
def digits_like() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rng = np.random.default_rng(3)
    labels = np.repeat(np.arange(6), 25)
    return (rng.standard_normal((6, 8))[labels] + rng.standard_normal((150, 8))).astype(np.float32), labels


def test_an_item_of_the_own_label_and_group_is_not_ranked() -> None:
    vectors = np.eye(4) + 0.1
    found = evaluate(
        vectors[:2], ["a", "b"], vectors, ["a", "a", "b", "b"],
        query_groups=["left", ""], gallery_groups=["left", "right", "left", ""], ks=[1],
    )  # fmt: skip
    assert found.per_query["items"].tolist() == [3, 4]  # the empty text is no group
    assert found.per_query["relevant"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"positives": [[0]]}, DataError, "positives must hold a list for each of 2 queries, got 1"),
        ({"positives": [[0], [3]]}, DataError, "positives of query 1: 3 is no position in a gallery of 3"),
        ({"positives": [[0], [-1]]}, DataError, "positives of query 1: -1 is no position"),
        ({"positives": ["ab", "c"]}, DataError, "must hold a list for each query, got the text 'ab'"),
        ({"positives": [0, 1]}, DataError, "positives must hold a list for each query"),
        ({"positives": [["a"], []]}, DataError, "positives must be gallery positions, as there are no gallery_ids"),
        ({"positives": [[0.5], []]}, DataError, "positives must be whole numbers or text"),
        ({"positives": np.ones((2, 3), int)}, DataError, r"positives of shape \(2, 3\) must be boolean to be a matrix"),
        ({"positives": np.ones((3, 2), bool)}, DataError, r"of shape \(2, 3\), a row a query .*, got \(3, 2\)"),
        ({"positives": [[], []]}, DataError, "none of the 2 queries has a relevant item"),
        (
            {"positives": [[0], [1]], "ignore": [[], [0, 1]]},
            DataError,
            "query 1: the gallery item at position 1 is both",
        ),
        ({"positives": [[0], []], "query_labels": [0, 1], "gallery_labels": [0, 1, 0]}, UsageError, "not both"),
        ({"ignore": [[0], []]}, UsageError, "give labels of queries and gallery, or the positives"),
        (
            {"positives": [["x"], ["z"]], "query_ids": ["p", "q"], "gallery_ids": ["x", "y", "x"]},
            DataError,
            "positives of query 1: 'z' is no id of the gallery",
        ),
        (
            {"positives": [[0], []], "query_groups": [0, 1], "gallery_groups": [0, 1, 0]},
            UsageError,
            "groups go with labels",
        ),
        (
            {"query_labels": [0, 1], "gallery_labels": [0, 1, 0], "query_groups": [0, 1]},
            UsageError,
            "query_groups given without gallery_groups: give both",
        ),
    ],
)
def test_lists_that_cannot_be_meant_are_refused(arguments: dict[str, Any], error: type[Exception], said: str) -> None:
    asked = {"query_labels": None, "gallery_labels": None} | arguments
    with pytest.raises(error, match=said):
        evaluate(np.eye(3)[:2], gallery=np.eye(3), **asked)


def test_an_id_that_several_items_have_lists_them_all() -> None:
    found = evaluate(
        np.eye(3)[:1], None, np.eye(3), None, query_ids=["q"], gallery_ids=["x", "y", "x"], positives=[["x"]], ks=[1]
    )
    assert found.per_query["relevant"].tolist() == [2]


def test_the_place_of_what_is_not_listed_skips_what_is() -> None:
    lists = Lists(np.array([0, 2, 3, 1], np.int32), np.array([0, 3, 3, 4]))
    query = np.array([0, 0, 1, 2, 2])
    assert lists.unlisted(query, np.array([0, 1, 1, 0, 1])).tolist() == [1, 4, 1, 0, 2]
    assert lists.place(query, np.array([3, 1, 0, 1, 0])).tolist() == [2, -1, -1, 3, -1]
