"""The field's own libraries, on the same tie-free vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import pytrec_eval
import torch
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from pytorch_metric_learning.utils.inference import CustomKNN
from sklearn.metrics import average_precision_score

from bench.evaluation.evaluate import Evaluation, evaluate
from bench.evaluation.metrics.conventions import translate
from bench.evaluation.ranking.arrays import Ints, Vectors

KS = (1, 5, 10, 100)


@dataclass(frozen=True)
class Problem:
    query: Vectors
    query_labels: Ints
    gallery: Vectors
    gallery_labels: Ints

    @property
    def scores(self) -> Vectors:
        unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (self.query, self.gallery)]
        product: Vectors = unit[0] @ unit[1].T
        return product


@pytest.fixture(scope="module")
def problem() -> Problem:
    """40 queries over 300 items of 7 uneven classes, better than chance and far from perfect."""
    rng = np.random.default_rng(6)  # whose closest scores are further apart than rounding
    centres = rng.standard_normal((7, 16))
    gallery_labels = rng.choice(7, size=300, p=[0.3, 0.2, 0.2, 0.1, 0.1, 0.07, 0.03])
    query_labels = np.arange(40) % 7
    query, gallery = (
        (centres[labels] + 2 * rng.standard_normal((len(labels), 16))).astype(np.float32)
        for labels in (query_labels, gallery_labels)
    )
    made = Problem(query, query_labels, gallery, gallery_labels)
    assert np.diff(np.sort(made.scores, axis=1), axis=1).min() > 3e-7
    return made


@pytest.fixture(scope="module")
def ours(problem: Problem) -> Evaluation:
    return evaluate(problem.query, problem.query_labels, problem.gallery, problem.gallery_labels, ks=KS, threads=1)


def test_map_is_scikit_learns_average_precision(problem: Problem, ours: Evaluation) -> None:
    relevant = problem.query_labels[:, None] == problem.gallery_labels
    theirs = [average_precision_score(truth, row) for truth, row in zip(relevant, problem.scores, strict=True)]
    np.testing.assert_allclose(ours.per_query["map"], theirs, rtol=1e-12)


def test_pytorch_metric_learning_agrees(problem: Problem, ours: Evaluation) -> None:
    names = ("mean_average_precision_at_r", "r_precision", "precision_at_1", "mean_reciprocal_rank")
    calculator = AccuracyCalculator(
        include=names, k=300, knn_func=CustomKNN(CosineSimilarity()), return_per_class=False
    )
    theirs = calculator.get_accuracy(
        torch.from_numpy(problem.query),
        torch.from_numpy(problem.query_labels),
        torch.from_numpy(problem.gallery),
        torch.from_numpy(problem.gallery_labels),
    )
    mine = [ours.scores[name] for name in ("map@r", "r_precision", "precision@1", "mrr")]
    assert mine == pytest.approx([theirs[name] for name in names], rel=1e-6)


def test_trec_eval_agrees_after_translation(problem: Problem, ours: Evaluation) -> None:
    relevant = problem.query_labels[:, None] == problem.gallery_labels
    judged = {str(i): {str(j): int(flag) for j, flag in enumerate(row)} for i, row in enumerate(relevant)}
    ranked = {str(i): {str(j): float(x) for j, x in enumerate(row)} for i, row in enumerate(problem.scores)}
    cuts = ",".join(map(str, KS))
    measures = {"map", "recip_rank", "Rprec"} | {
        f"{m}.{cuts}" for m in ("map_cut", "ndcg_cut", "P", "recall", "success")
    }
    theirs = pytrec_eval.RelevanceEvaluator(judged, measures).evaluate(ranked)
    names = {"map": "map", "recip_rank": "mrr", "Rprec": "r_precision"}
    for k in KS:
        names |= {f"map_cut_{k}": f"map@{k}", f"ndcg_cut_{k}": f"ndcg@{k}", f"P_{k}": f"precision@{k}"}
        names |= {f"recall_{k}": f"recall@{k}", f"success_{k}": f"hit@{k}"}
    mine = translate(ours.per_query, "trec")
    for their_name, our_name in names.items():
        values = [theirs[str(i)][their_name] for i in range(len(problem.query))]
        np.testing.assert_allclose(mine[our_name], values, rtol=1e-9, err_msg=our_name)


def test_lists_are_scored_as_by_trec_eval(problem: Problem) -> None:
    """What is ignored is not in the ranking that trec_eval is given; a query without positives is left out by both."""
    rng = np.random.default_rng(4)
    kinds = rng.choice(3, size=problem.scores.shape, p=[0.8, 0.1, 0.1])  # other, positive, ignored
    kinds[5] = 0
    found = evaluate(
        problem.query, None, problem.gallery, None, positives=kinds == 1, ignore=kinds == 2, ks=KS, threads=1
    )
    judged, ranked = {}, {}
    for row, line in enumerate(kinds):
        judged[str(row)] = {str(item): 1 for item in np.flatnonzero(line == 1)}
        ranked[str(row)] = {str(item): float(problem.scores[row, item]) for item in np.flatnonzero(line != 2)}
    theirs = pytrec_eval.RelevanceEvaluator({k: v for k, v in judged.items() if v}, {"map", "ndcg_cut.10"}).evaluate(
        ranked
    )
    for name, theirs_name in (("map", "map"), ("ndcg@10", "ndcg_cut_10")):
        expected = [theirs[str(row)][theirs_name] if row != 5 else np.nan for row in range(len(kinds))]
        np.testing.assert_allclose(found.per_query[name], expected, rtol=1e-9)


def test_neighbors_are_those_of_a_full_sort(problem: Problem, ours: Evaluation) -> None:
    order = np.argsort(-problem.scores, axis=1)[:, :100]
    np.testing.assert_array_equal(ours.neighbors, order)
    np.testing.assert_allclose(ours.similarities, np.take_along_axis(problem.scores, order, axis=1), atol=1e-6)
