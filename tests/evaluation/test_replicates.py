"""Scores without groups of images, or of classes: those of a plain evaluation in which the groups are not there."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from bench.contract import DataError
from bench.evaluation import replicates
from bench.evaluation.evaluate import Evaluation, evaluate
from bench.evaluation.ranking.arrays import Floats, Ints, Vectors
from bench.evaluation.replicates import Ranked
from bench.evaluation.statistics.jackknife import Groups, standard_error

COUNTS = {"relevant", "items"}  # of each query, and no scores
SHARE = 0.1  # that standard errors may differ by where not all queries are ranked again


@dataclass(frozen=True)
class Case:
    """What is handed to ``evaluate``; ids are None where no image is on both sides."""

    query: Vectors
    labels: Ints
    gallery: Vectors
    gallery_labels: Ints
    ids: Ints | None = None
    gallery_ids: Ints | None = None

    def evaluated(self, **options: Any) -> Evaluation:
        sides = self.query, self.labels, self.gallery, self.gallery_labels
        given = {"query_ids": self.ids, "gallery_ids": self.gallery_ids, "ks": (1, 3), "threads": 1, **options}
        return evaluate(*sides, normalize=False, **given)

    def without(self, groups: Groups, group: int) -> Case:
        """The same in which a group's queries and items never were."""
        asks, answers = groups.query != group, groups.gallery != group
        return Case(
            self.query[asks],
            self.labels[asks],
            self.gallery[answers],
            self.gallery_labels[answers],
            None if self.ids is None else self.ids[asks],
            None if self.gallery_ids is None else self.gallery_ids[answers],
        )


def numbers(rng: np.random.Generator, labels: Ints, spread: int = 3) -> Vectors:
    """Whole numbers around a place of each class: their products are exact, whatever stands beside them."""
    places = rng.integers(-2, 3, (int(labels.max()) + 1, 6))
    around = places[labels] + rng.integers(-spread, spread + 1, (len(labels), 6))
    return np.column_stack((around, np.ones(len(labels)))).astype(np.float32)  # none is all zero


def loo(rng: np.random.Generator, n: int = 60, classes: int = 4, copies: int = 1, spread: int = 3) -> Case:
    """Every row asks all but those of its own image, of which there are so many copies."""
    labels = np.repeat(rng.permutation(np.arange(n // copies) % classes), copies)
    vectors, ids = numbers(rng, labels, spread), np.repeat(np.arange(n // copies), copies)
    return Case(vectors, labels, vectors, labels, ids, ids)


def holdout(rng: np.random.Generator, q: int = 30, n: int = 80, classes: int = 4, asked: int = 4) -> Case:
    """Queries of some of the gallery's classes."""
    labels = np.concatenate((np.arange(q) % asked, rng.integers(0, classes, n)))
    vectors = numbers(rng, labels)
    return Case(vectors[:q], labels[:q], vectors[q:], labels[q:])


def plain(case: Case, groups: Groups, **options: Any) -> dict[str, Floats]:
    """Every metric's mean over queries from an evaluation for each group, in which nothing of it is left."""
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ranked, "replicates", lambda *_, threads: {})  # of these nobody asks, and they take the time
        patch.setattr(sys.modules[evaluate.__module__], "pair_metrics", lambda *_, seed: (np.nan, np.nan))  # likewise
        for group in range(groups.count):
            try:
                one = case.without(groups, group).evaluated(**options)
                found.append({name: one.scores[name] for name in one.per_query.keys() - COUNTS})
            except DataError:  # nothing to find for anybody
                found.append({})
    names = {name for one in found for name in one}
    return {name: np.array([one.get(name, np.nan) for one in found]) for name in names}


def assert_same(found: Mapping[str, Floats], expected: Mapping[str, Floats]) -> None:
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-12, err_msg=name)


CASES = {
    "loo": loo(np.random.default_rng(0)),
    "loo with many ties": loo(np.random.default_rng(1), spread=1),
    "three copies of an image": loo(np.random.default_rng(2), copies=3),
    "two classes": loo(np.random.default_rng(3), classes=2),
    "as few as two images a class": loo(np.random.default_rng(4), n=24, classes=12),
    "holdout": holdout(np.random.default_rng(5)),
    "distractors": holdout(np.random.default_rng(6), classes=9),
    "some queries with nothing to find": holdout(np.random.default_rng(7), n=20, classes=3),
}


@pytest.mark.parametrize("ties", ["pessimistic", "mean", "optimistic"])
@pytest.mark.parametrize("name", CASES)
def test_scores_without_a_group_are_those_of_an_evaluation_without_its_images(name: str, ties: str) -> None:
    found = CASES[name].evaluated(ties=ties).replicates
    assert_same(found.these_classes, plain(CASES[name], found.image_groups, ties=ties))


@pytest.mark.parametrize("name", [name for name in CASES if name != "two classes"])
def test_scores_without_a_group_of_classes_are_those_of_an_evaluation_without_them(name: str) -> None:
    found = CASES[name].evaluated().replicates
    assert found.class_groups is not None
    assert_same(found.other_classes, plain(CASES[name], found.class_groups))


def test_two_classes_have_no_scores_without_a_class() -> None:
    found = CASES["two classes"].evaluated()
    assert found.replicates.class_groups is None
    assert found.replicates.other_classes == found.ci95_other_classes == {}


@pytest.mark.parametrize("name", ["loo", "loo with many ties", "three copies of an image", "distractors"])
def test_the_first_neighbours_alone_give_the_scores_that_are_made_of_them(name: str) -> None:
    whole = CASES[name].evaluated().replicates.these_classes
    top = CASES[name].evaluated(full=False).replicates.these_classes
    assert top.keys() == {metric for metric in whole if "@" in metric and metric != "map@r"}
    assert_same(top, {metric: whole[metric] for metric in top})


def test_threads_change_no_digit() -> None:
    one, several = (CASES["loo"].evaluated(threads=threads).replicates for threads in (1, 3))
    for metric, values in one.these_classes.items():
        np.testing.assert_array_equal(values, several.these_classes[metric], err_msg=metric)


def both_ways(case: Case, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Scores without groups of images where every query is ranked again, and where only a quarter of them is."""
    exact = case.evaluated().replicates.these_classes
    monkeypatch.setattr(replicates, "_RANKED_AGAIN", 1)
    monkeypatch.setattr(replicates, "_SHARE", 4)
    monkeypatch.setattr(replicates, "_FEWEST", 10)
    return dict(exact), dict(case.evaluated().replicates.these_classes)


@pytest.mark.parametrize("name", CASES)
def test_scores_of_the_first_k_are_exact_where_only_some_queries_are_ranked_again(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact, sampled = both_ways(CASES[name], monkeypatch)
    first = {metric for metric in exact if "@" in metric and metric != "map@r"}
    assert_same({metric: sampled[metric] for metric in first}, {metric: exact[metric] for metric in first})
    assert sampled.keys() == exact.keys()


@pytest.mark.parametrize("case", [loo(np.random.default_rng(8), n=400), holdout(np.random.default_rng(9), 200, 600)])
def test_standard_errors_are_nearly_the_exact_ones_where_only_some_queries_are_ranked_again(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact, sampled = both_ways(case, monkeypatch)
    for metric in ("map", "map@r", "r_precision", "mrr", "mean_rank_norm"):
        error = float(standard_error(exact[metric]))
        assert float(standard_error(sampled[metric])) == pytest.approx(error, rel=SHARE), metric
