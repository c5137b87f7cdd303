"""The public face: what it accepts, what it refuses, and what it promises whatever comes in."""

from __future__ import annotations

import doctest
import importlib
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.contract import DataError, UsageError
from bench.evaluation.evaluate import COLLAPSED, UNINFORMATIVE, Evaluation, evaluate


def data(seed: int = 0, q: int = 12, n: int = 40, classes: int = 3) -> tuple[Any, Any, Any, Any]:
    rng = np.random.default_rng(seed)
    return (
        rng.standard_normal((q, 5)).astype(np.float32),
        rng.integers(0, classes, q),
        rng.standard_normal((n, 5)).astype(np.float32),
        rng.integers(0, classes, n),
    )


def same(first: Evaluation, second: Evaluation) -> None:
    """Both evaluations hold the same numbers, to the last bit."""
    assert first.scores == pytest.approx(second.scores, rel=0, abs=0, nan_ok=True)
    assert first.macro == second.macro
    assert first.ci95 == second.ci95
    assert first.flags == second.flags
    assert first.per_query.keys() == second.per_query.keys()
    for name, values in first.per_query.items():
        np.testing.assert_array_equal(values, second.per_query[name])
    np.testing.assert_array_equal(first.neighbors, second.neighbors)
    np.testing.assert_array_equal(first.similarities, second.similarities)


def test_the_result_has_the_promised_shapes_and_types() -> None:
    result = evaluate(*data(), ks=(3, 1, 3), threads=1)
    assert result.neighbors.shape == result.similarities.shape == (12, 40)
    assert result.neighbors.dtype == np.int32
    assert result.similarities.dtype == np.float32
    assert result.per_query["relevant"].dtype == result.per_query["items"].dtype == np.int64
    assert {"map@1", "map@3", "knn_accuracy@3", "map_optimistic", "tied_queries"} <= set(result.scores)
    for name, values in result.per_query.items():
        assert values.shape == (12,), name
        if name not in ("relevant", "items"):
            low, high = result.ci95[name]
            assert low - 1e-12 <= result.scores[name] <= high + 1e-12, name


def test_text_labels_tensors_memory_maps_and_lists_give_the_same_numbers(tmp_path: Path) -> None:
    query, labels, gallery, gallery_labels = data()
    reference = evaluate(query, labels, gallery, gallery_labels, threads=1)
    names = np.array(["ant", "bee", "cat"])
    gallery.tofile(tmp_path / "gallery")
    mapped = np.memmap(tmp_path / "gallery", dtype=np.float32, mode="r", shape=gallery.shape)
    same(reference, evaluate(query, names[labels], mapped, names[gallery_labels].tolist(), threads=2))
    tensors = [torch.from_numpy(one) for one in (query, labels, gallery, gallery_labels)]
    same(reference, evaluate(*tensors, threads=1))
    objects = [names[one].astype(object) for one in (labels, gallery_labels)]
    same(reference, evaluate(query.tolist(), objects[0], gallery.astype(np.float64), objects[1], threads=1))


def test_a_tensor_that_wants_gradients_or_is_half_precision_is_accepted() -> None:
    query, labels, gallery, gallery_labels = data()
    tensor = torch.from_numpy(query).to(torch.bfloat16).requires_grad_()
    assert evaluate(tensor, labels, gallery, gallery_labels, threads=1).scores["map"] > 0


def test_labels_beyond_the_whole_numbers_of_float32_and_float64_stay_apart() -> None:
    big = 2**62
    result = evaluate([[1.0], [1.0]], [big, big + 1], [[1.0], [1.0]], [big, big], threads=1)
    assert result.per_query["relevant"].tolist() == [2, 0]
    assert result.scores["queries_without_relevant"] == 1


def test_a_shuffled_gallery_changes_nothing_but_positions() -> None:
    rng = np.random.default_rng(1)
    query, labels, gallery, gallery_labels = data(1)
    gallery[20:] = gallery[:20]  # every item twice, so that similarities tie
    ids, gallery_ids = np.arange(12), rng.permutation(40)
    reference = evaluate(query, labels, gallery, gallery_labels, query_ids=ids, gallery_ids=gallery_ids, threads=1)
    order = rng.permutation(40)
    shuffled = evaluate(
        query, labels, gallery[order], gallery_labels[order], query_ids=ids, gallery_ids=gallery_ids[order], threads=2
    )
    positions = np.where(shuffled.neighbors >= 0, order[shuffled.neighbors], -1).astype(np.int32)
    same(reference, Evaluation(**(vars(shuffled) | {"neighbors": positions})))


def test_shuffled_queries_keep_their_own_values() -> None:
    query, labels, gallery, gallery_labels = data(2)
    reference = evaluate(query, labels, gallery, gallery_labels, threads=1)
    order = np.random.default_rng(0).permutation(12)
    shuffled = evaluate(query[order], labels[order], gallery, gallery_labels, threads=1)
    for name, values in reference.per_query.items():
        np.testing.assert_array_equal(shuffled.per_query[name], values[order])


def test_the_query_itself_is_excluded_by_id_and_not_by_being_first() -> None:
    """A duplicate under another id stays; all gallery entries with the query's id go."""
    vectors = np.array([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    labels = [0, 0, 1, 1]
    loo = evaluate(vectors, labels, vectors, labels, query_ids=list("abcd"), gallery_ids=list("abcd"), threads=1)
    assert loo.per_query["items"].tolist() == [3] * 4
    assert loo.scores["hit@1"] == 1.0
    assert loo.neighbors[:, 0].tolist() == [1, 0, 3, 2]
    assert loo.neighbors[:, 3].tolist() == [-1] * 4
    several = evaluate(vectors, labels, vectors, labels, query_ids=list("abcd"), gallery_ids=list("aabb"), threads=1)
    assert several.per_query["items"].tolist() == [2, 2, 4, 4]
    assert several.scores["queries_without_relevant"] == 1


def test_two_queries_may_share_an_id() -> None:
    vectors, labels = np.eye(3), [0, 0, 0]
    result = evaluate(vectors, labels, vectors, labels, query_ids=[1, 1, 9], gallery_ids=[1, 2, 3], threads=1)
    assert result.per_query["items"].tolist() == [2, 2, 3]


@pytest.mark.parametrize("ties", ["pessimistic", "mean"])
def test_constant_vectors_never_score_above_chance(ties: str) -> None:
    """Ten even classes: chance is a tenth, half for the mean rank; a collapsed model gets no more, and a flag."""
    labels = np.arange(200) % 10
    vector = np.random.default_rng(0).standard_normal(33)
    result = evaluate(np.tile(vector, (20, 1)), labels[:20], np.tile(vector, (200, 1)), labels, ties=ties, threads=2)
    for name in ("map@1", "precision@1", "precision@10", "r_precision", "hit@1", "knn_accuracy@1", "knn_accuracy@50"):
        assert result.scores[name] <= 0.1 + 1e-12, name
    assert result.scores["map"] <= 0.13  # by chance slightly more than R / N
    assert result.scores["mean_rank_norm"] >= 0.5 - 1e-12
    assert result.scores["pair_auc"] == 0.5
    assert result.scores["tied_queries"] == 1.0
    assert result.scores["map_optimistic"] == 1.0
    assert result.flags == (COLLAPSED,)


def test_random_vectors_score_at_chance_and_raise_no_flag() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 4
    result = evaluate(rng.standard_normal((400, 8)), labels, rng.standard_normal((400, 8)), labels, threads=2)
    assert result.scores["mean_rank_norm"] == pytest.approx(0.5, abs=0.02)
    assert result.scores["pair_auc"] == pytest.approx(0.5, abs=0.02)
    assert result.flags == ()


def test_one_label_for_everything_is_flagged_as_uninformative() -> None:
    query, _, gallery, _ = data()
    result = evaluate(query, [1] * 12, gallery, [1] * 40, threads=1)
    assert result.flags == (UNINFORMATIVE,)
    assert result.scores["map"] == 1.0
    assert result.scores["mean_rank_norm"] == 0.0
    assert np.isnan(result.scores["pair_auc"])


def test_queries_with_nothing_to_find_are_counted_and_left_out_of_every_mean() -> None:
    query, labels, gallery, gallery_labels = data()
    reference = evaluate(query, labels, gallery, gallery_labels, threads=1)
    more = np.concatenate((query, query[:2])), np.concatenate((labels, [98, 99]))
    result = evaluate(*more, gallery, gallery_labels, threads=1)
    assert result.scores["queries_without_relevant"] == 2
    assert np.isnan(result.per_query["map"][12:]).all()
    assert {name: result.scores[name] for name in result.macro} == {
        name: reference.scores[name] for name in reference.macro
    }
    assert (result.neighbors[12:] >= 0).all()


@pytest.mark.parametrize("side", ["query", "gallery"])
@pytest.mark.parametrize(("value", "word"), [(np.nan, "not finite"), (np.inf, "not finite"), (0.0, "all zero")])
def test_unusable_rows_are_refused_on_both_sides(side: str, value: float, word: str) -> None:
    query, labels, gallery, gallery_labels = data()
    (query if side == "query" else gallery)[3] = value
    with pytest.raises(DataError, match=f"{side} vectors: 1 of .* rows are {word}, the first is row 3"):
        evaluate(query, labels, gallery, gallery_labels)


VECTORS = np.ones((3, 2), dtype=np.float32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query": np.ones(3)}, r"query vectors must have shape \(n, d\), got \(3,\)"),
        ({"query": np.ones((3, 4))}, "query vectors have 4 dimensions, gallery vectors 2"),
        ({"query": np.empty((0, 2)), "query_labels": []}, "the query is empty"),
        ({"gallery": np.empty((0, 2)), "gallery_labels": []}, "the gallery is empty"),
        ({"query": np.empty((3, 0)), "gallery": np.empty((3, 0))}, "no dimension"),
        ({"query": np.ones((3, 2), dtype=complex)}, "real numbers"),
        ({"query": np.array([["a", "b"]] * 3)}, "real numbers"),
        ({"query_labels": [0, 1]}, r"3 query vectors, but query labels have shape \(2,\)"),
        ({"gallery_labels": [[0], [1], [2]]}, "labels are several a picture on one side only"),
        ({"gallery_labels": np.zeros((3, 1), int)}, r"3 gallery vectors, but gallery labels have shape \(3, 1\)"),
        ({"query_labels": [0.0, 1.0, 2.0]}, "query labels must be whole numbers or text, got float64"),
        ({"gallery_labels": torch.zeros(3)}, "gallery labels must be whole numbers or text, got float32"),
        ({"query_labels": [True, False, True]}, "got bool"),
        ({"query_labels": [None, "a", "b"]}, "got object"),
        ({"query_labels": np.array([2**63, 0, 0], dtype=np.uint64)}, "must fit int64"),
        ({"query_labels": ["a", "b", "c"]}, "labels must be of one kind"),
        ({"gallery_labels": [7, 8, 9]}, "none of the 3 queries has a relevant item"),
        ({"query_ids": [1, 2], "gallery_ids": [1, 2, 3]}, "3 query vectors, but query ids"),
        ({"query_ids": [1, 2, 3], "gallery_ids": ["1", "2", "3"]}, "ids must be of one kind"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_in_one_line(change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {
        "query": VECTORS,
        "query_labels": [0, 1, 2],
        "gallery": VECTORS,
        "gallery_labels": [0, 1, 2],
    }
    with pytest.raises(DataError, match=message) as caught:
        evaluate(**(arguments | change))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ks": ()}, "every k must be"),
        ({"ks": (0, 1)}, "every k must be"),
        ({"ks": (1.5,)}, "every k must be a whole number above 0, got 1.5"),
        ({"ks": (True,)}, "got True"),
        ({"ties": "random"}, "unknown ties 'random'"),
        ({"threads": 0}, "threads must be"),
        ({"query_ids": [1, 2, 3]}, "query_ids given without gallery_ids"),
        ({"gallery_ids": [1, 2, 3]}, "gallery_ids given without query_ids"),
    ],
)
def test_wrong_options_are_the_users_error(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        evaluate(VECTORS, [0, 1, 2], VECTORS, [0, 1, 2], **change)


def test_one_image_against_itself_by_another_id_is_found() -> None:
    result = evaluate([[1.0, 2.0]], ["a"], [[1.0, 2.0]], ["a"], threads=1)
    assert result.scores["map"] == 1.0
    assert result.neighbors.tolist() == [[0]]
    assert result.flags == (UNINFORMATIVE,)


def test_3000_queries_over_30000_items_never_make_the_whole_matrix() -> None:
    """All scores would take 360 MB, all ranks 72 MB and more; two threads' buffers take 128 MB."""
    rng = np.random.default_rng(0)
    query, gallery = (rng.standard_normal((n, 8)).astype(np.float32) for n in (3_000, 30_000))
    labels, gallery_labels = rng.integers(0, 10, 3_000), rng.integers(0, 10, 30_000)
    evaluate(query[:2], labels[:2], gallery, gallery_labels, threads=1)  # imports and caches are not its memory
    tracemalloc.start()
    try:
        evaluate(query, labels, gallery, gallery_labels, threads=2)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 190e6


def test_the_examples_in_the_docstrings_run_as_shown() -> None:
    module = importlib.import_module("bench.evaluation.evaluate")
    found = doctest.testmod(module)
    assert found.failed == 0
    assert found.attempted >= 6
