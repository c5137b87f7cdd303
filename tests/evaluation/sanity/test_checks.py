"""Every planted fault trips its control, and vectors without one trip none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import skew
from sklearn.datasets import load_digits

from bench.contract import Control
from bench.evaluation.evaluate import evaluate_set
from bench.evaluation.metrics.chance import chance_level
from bench.evaluation.metrics.registry import describe
from bench.evaluation.ranking.retrieval_set import RetrievalSet
from bench.evaluation.sanity.checks import check_evaluation, failures, hubness

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def digits() -> Arrays:
    data = load_digits()
    rows = np.random.default_rng(0).permutation(len(data.target))
    vectors, labels = data.data.astype(np.float32)[rows], data.target.astype(np.int64)[rows]
    return vectors[:200], labels[:200], vectors[200:800], labels[200:800]


def checked(words: Any, *, train: Any = None, ties: str = "pessimistic", **ids: Any) -> Any:
    data = RetrievalSet.of(*words, train=train, **ids)
    found = evaluate_set(data, ks=(1, 10), ties=ties, threads=1)
    return {one.name: one for one in check_evaluation(found, data, ties=ties, threads=1)}


def failed(controls: dict[str, Control]) -> set[str]:
    return {name for name, one in controls.items() if not one.passed}


def test_good_vectors_pass_every_control() -> None:
    query, labels, gallery, gallery_labels = digits()
    controls = checked((query, labels, gallery, gallery_labels), train=load_digits().data[800:] + 0.5)
    assert failed(controls) == set()
    assert failures(tuple(controls.values())) == ()
    assert controls["shuffled_labels"].value == pytest.approx(0.11, abs=0.02)
    assert controls["random_vectors"].value == pytest.approx(0.11, abs=0.02)


@pytest.mark.parametrize("seed", range(5))
def test_chance_is_met_in_leave_one_out_with_few_and_with_many_classes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for classes in (2, 60):
        labels = np.arange(180) % classes
        vectors = rng.standard_normal((classes, 8))[labels] + 0.5 * rng.standard_normal((180, 8))
        ids = np.arange(180)
        controls = checked((vectors, labels, vectors, labels), query_ids=ids, gallery_ids=ids)
        assert failed(controls) == set()


def test_a_query_left_in_its_gallery_is_found_and_excluding_it_by_id_mends_it() -> None:
    query, labels, _, _ = digits()
    words = (query, labels, query, labels)
    assert failed(checked(words)) == {"nearest_is_a_copy"}
    ids = np.arange(len(query))
    assert failed(checked(words, query_ids=ids, gallery_ids=ids)) == set()


def test_a_gallery_that_is_there_twice_is_found() -> None:
    query, labels, gallery, gallery_labels = digits()
    doubled = (query, labels, np.concatenate((gallery, gallery)), np.concatenate((gallery_labels, gallery_labels)))
    controls = checked(doubled)
    assert failed(controls) == {"gallery_copies"}
    assert controls["gallery_copies"].value == pytest.approx(0.5)


@pytest.mark.parametrize("leak", ["one hot", "one hot, noisy", "appended", "appended, ragged lengths", "rotated"])
def test_labels_in_the_vectors_are_found(leak: str) -> None:
    query, labels, gallery, gallery_labels = digits()
    rng = np.random.default_rng(1)
    turn = np.linalg.qr(rng.standard_normal((10, 10)))[0]

    def leaked(vectors: np.ndarray, names: np.ndarray) -> np.ndarray:
        hot = np.eye(10)[names]
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        ways: dict[str, np.ndarray] = {
            "one hot": hot,
            "one hot, noisy": hot + 0.01 * rng.standard_normal(hot.shape),
            "appended": np.column_stack((unit, hot)),
            "appended, ragged lengths": np.column_stack((vectors, 30 * hot)),
            "rotated": hot @ turn,
        }
        return ways[leak]

    controls = checked((leaked(query, labels), labels, leaked(gallery, gallery_labels), gallery_labels))
    assert failed(controls) & {"label_in_a_dimension", "too_perfect"}


def test_a_tight_encoder_that_errs_is_not_taken_for_a_leak() -> None:
    _, labels, _, gallery_labels = digits()
    rng = np.random.default_rng(2)
    centres = np.linalg.qr(rng.standard_normal((16, 16)))[0][:10]

    def tight(names: np.ndarray) -> np.ndarray:
        seen = np.where(rng.random(len(names)) < 0.03, rng.integers(0, 10, len(names)), names)
        vectors: np.ndarray = centres[seen] + 0.02 * rng.standard_normal((len(names), 16))
        return vectors

    assert failed(checked((tight(labels), labels, tight(gallery_labels), gallery_labels))) == set()


def test_a_collapsed_encoder_is_found() -> None:
    query, labels, gallery, gallery_labels = digits()
    flat = [np.ones((len(side), 8)) + 1e-3 * side[:, 20:28] for side in (query, gallery)]
    assert "mean_pairwise_cosine" in failed(checked((flat[0], labels, flat[1], gallery_labels)))
    line = [np.outer(np.where(side[:, 20] > 8, 1.0, -1.0), np.ones(8)) for side in (query, gallery)]
    assert "effective_rank" in failed(checked((line[0], labels, line[1], gallery_labels)))


def test_ties_that_count_for_a_collapsed_method_do_not_fall_to_chance() -> None:
    query, labels, gallery, gallery_labels = digits()
    words = (np.ones_like(query), labels, np.ones_like(gallery), gallery_labels)
    assert "shuffled_labels" in failed(checked(words, ties="optimistic"))
    assert "shuffled_labels" not in failed(checked(words, ties="mean"))
    assert "shuffled_labels" not in failed(checked(words))


def test_queries_that_were_learnt_from_are_found() -> None:
    query, labels, gallery, gallery_labels = digits()
    words = (query, labels, gallery, gallery_labels)
    assert failed(checked(words, train=np.concatenate((gallery, query)))) == {"train_is_test"}
    assert failed(checked(words, train=np.concatenate((gallery, query[:10])))) == set()


def test_the_flag_names_the_control_its_value_and_its_limit() -> None:
    bad = Control("copies", 0.5, 0.05, False, "twice")
    assert failures((bad, Control("hubness", 9.0, None, True, ""))) == ("control failed: copies 0.5 (limit 0.05)",)


def test_mean_cosines_within_and_between_classes_are_those_of_all_ranked_pairs() -> None:
    query, labels, gallery, gallery_labels = (side[:60] for side in digits())
    shared = np.arange(60)  # every query has one item's id, sometimes of its class
    controls = checked((query, labels, gallery, gallery_labels), query_ids=shared, gallery_ids=shared + 30)
    unit = [side / np.linalg.norm(side.astype(np.float64), axis=1, keepdims=True) for side in (query, gallery)]
    cosines, same = unit[0] @ unit[1].T, labels[:, None] == gallery_labels[None, :]
    ranked = shared[:, None] != (shared + 30)[None, :]
    assert controls["intra_class_cosine"].value == pytest.approx(cosines[same & ranked].mean(), abs=1e-6)
    assert controls["inter_class_cosine"].value == pytest.approx(cosines[~same & ranked].mean(), abs=1e-6)


def test_hubness_is_the_skew_of_how_often_an_item_is_found() -> None:
    near = np.random.default_rng(3).integers(0, 40, (100, 12)).astype(np.int32) ** 2 // 40
    occurrence = np.bincount(near[:, :10].ravel(), minlength=50)
    assert hubness(near, 50).value == pytest.approx(skew(occurrence))
    assert hubness(np.full((4, 3), -1, np.int32), 5).value == 0.0


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 7).flatmap(lambda n: st.tuples(st.integers(1, n), st.just(n))))
def test_the_chance_level_is_the_mean_over_all_orders(pair: tuple[int, int]) -> None:
    from itertools import combinations

    relevant, items = pair
    every = [
        np.mean([(at + 1) / rank for at, rank in enumerate(ranks)])
        for ranks in combinations(range(1, items + 1), relevant)
    ]
    found = chance_level(describe("map"), np.array([relevant]), np.array([items]))
    assert found[0] == pytest.approx(np.mean(every))


@pytest.mark.parametrize(("strangers", "alarm"), [(30, False), (31, True)])
def test_more_than_half_of_the_queries_without_anything_to_find_is_an_alarm(strangers: int, alarm: bool) -> None:
    query, labels, gallery, gallery_labels = digits()
    asked = labels[:60].copy()
    asked[:strangers] = 10  # a class that the gallery has not
    controls = checked((query[:60], asked, gallery, gallery_labels))
    assert controls["nothing_to_find"].value == pytest.approx(strangers / 60)
    assert failed(controls) == ({"nothing_to_find"} if alarm else set())
    assert f"{60 - strangers} of 60 queries scored" in controls["nothing_to_find"].meaning
