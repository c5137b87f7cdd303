"""Mean average precision over full rankings: ours, with every other metric, against other libraries computing that one.

    pip install torchmetrics ranx open-metric-learning     beside `make dev`, in an environment of its own
    python tests/speed/peers.py [--queries 50] [--rounds 3]

Peers that are not installed are left out. fast-reid's compiled evaluator (``rank_cy``, the ``.pyx`` of its repository
built with Cython) is used where it can be imported. All get the same vectors, one thread, and do their own product or
get one made by NumPy inside the timing. Every peer's time grows in proportion to the queries (each is ranked alone), so
it is measured on a few and told for all; ours is measured in full. Their map must equal ours.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys
from collections.abc import Callable

import numpy as np
import torch
from ranking import Problem, problem  # the script beside this one
from side_by_side import seconds
from tabulate import tabulate
from threadpoolctl import threadpool_limits

from bench.evaluation.cost.timing import fixed_threads

Peer = Callable[[Problem], float]


def scores_of(one: Problem) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Return all similarities; a query's own gallery item gets the lowest."""
    scores: np.ndarray[tuple[int, int], np.dtype[np.float32]] = one.query @ one.gallery.T
    if one.query_ids is not None:
        scores[np.arange(len(scores)), one.query_ids] = -2.0
    return scores


def relevance(one: Problem) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    relevant: np.ndarray[tuple[int, int], np.dtype[np.bool_]] = one.query_labels[:, None] == one.gallery_labels[None]
    if one.query_ids is not None:
        relevant[np.arange(len(relevant)), one.query_ids] = False
    return relevant


def metric_learning(one: Problem) -> float:
    from pytorch_metric_learning.distances import DotProductSimilarity
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
    from pytorch_metric_learning.utils.inference import CustomKNN

    calculator = AccuracyCalculator(
        include=("mean_average_precision",), k=len(one.gallery) - 1, knn_func=CustomKNN(DotProductSimilarity())
    )
    gallery, labels = one.gallery, one.gallery_labels
    if one.query_ids is not None:  # it wants the queries first in the gallery
        rest = np.setdiff1d(np.arange(len(gallery)), one.query_ids)
        order = np.concatenate((one.query_ids, rest))
        gallery, labels = gallery[order], labels[order]
    tensors = [torch.from_numpy(x) for x in (one.query, one.query_labels, gallery, labels)]
    found = calculator.get_accuracy(*tensors, ref_includes_query=one.query_ids is not None)
    return float(found["mean_average_precision"])


def metric_oml(one: Problem) -> float:
    from oml.functional.metrics import calc_map

    scores, relevant = torch.from_numpy(scores_of(one)), torch.from_numpy(relevance(one))
    order = torch.argsort(scores, dim=1, descending=True)
    tops = torch.gather(relevant, 1, order)
    found = calc_map(tuple(tops), tuple(relevant.sum(1).tolist()), (scores.shape[1],), verbose=False)
    return float(found[0].mean())


def metric_torchmetrics(one: Problem) -> float:
    from torchmetrics.functional.retrieval import retrieval_average_precision

    scores, relevant = torch.from_numpy(scores_of(one) + 3), torch.from_numpy(relevance(one))  # it drops those below 0
    values = [float(retrieval_average_precision(s, r)) for s, r in zip(scores, relevant, strict=True)]
    return statistics.fmean(values)


def _named(one: Problem) -> tuple[dict[str, dict[str, int]], dict[str, dict[str, float]]]:
    scores, relevant = scores_of(one), relevance(one)
    names = [str(i) for i in range(scores.shape[1])]
    truth = {str(q): {names[i]: 1 for i in np.flatnonzero(row)} for q, row in enumerate(relevant)}
    return truth, {str(q): dict(zip(names, row.tolist(), strict=True)) for q, row in enumerate(scores)}


def metric_trec(one: Problem) -> float:
    import pytrec_eval

    truth, run = _named(one)
    found = pytrec_eval.RelevanceEvaluator(truth, {"map"}).evaluate(run)
    return statistics.fmean(values["map"] for values in found.values())


def metric_ranx(one: Problem) -> float:
    from ranx import Qrels, Run, evaluate

    truth, run = _named(one)
    return float(evaluate(Qrels(truth), Run(run), "map"))


def metric_fastreid(one: Problem) -> float:
    from rank_cy import evaluate_cy

    cameras, others = np.zeros(len(one.query), np.int64), np.ones(len(one.gallery), np.int64)
    if one.query_ids is None:
        return float(
            np.mean(evaluate_cy(-scores_of(one), one.query_labels, one.gallery_labels, cameras, others, 50)[1])
        )
    found = []
    for row, own in enumerate(
        one.query_ids
    ):  # a camera of its own for the query's own picture: the only exclusion it has
        others[own] = 0
        scores = scores_of(Problem(one.query[row : row + 1], one.query_labels, one.gallery, one.gallery_labels))
        asked = slice(row, row + 1)
        found.append(
            float(evaluate_cy(-scores, one.query_labels[asked], one.gallery_labels, cameras[asked], others, 50)[1][0])
        )
        others[own] = 1
    return statistics.fmean(found)


PEERS: dict[str, tuple[str, Peer]] = {
    "pytorch-metric-learning": ("pytorch_metric_learning", metric_learning),
    "OML": ("oml", metric_oml),
    "torchmetrics": ("torchmetrics", metric_torchmetrics),
    "trec_eval": ("pytrec_eval", metric_trec),
    "ranx": ("ranx", metric_ranx),
    "fast-reid, compiled": ("rank_cy", metric_fastreid),
}


def first(one: Problem, queries: int) -> Problem:
    ids = None if one.query_ids is None else one.query_ids[:queries]
    return Problem(
        one.query[:queries], one.query_labels[:queries], one.gallery, one.gallery_labels, ids, one.gallery_ids
    )


def compare(what: str, one: Problem, queries: int, rounds: int) -> list[list[str]]:
    """Return a row a peer, the fastest first."""
    ours = statistics.median(seconds(one.score) for _ in range(rounds))
    few = first(one, queries)
    expected = few.score()["map"]
    measured = []
    for name, (module, peer) in PEERS.items():
        if importlib.util.find_spec(module) is None:
            sys.stderr.write(f"{name} is not installed\n")
            continue
        found = peer(few)  # the first call compiles and imports
        if abs(found - expected) > 1e-3:
            raise RuntimeError(f"{what}: {name} says map {found:.5f}, we say {expected:.5f}")
        took = statistics.median(seconds(lambda: peer(few)) for _ in range(rounds))  # noqa: B023 - called at once
        measured.append((took * len(one.query) / queries, name))
    return [
        [
            what,
            f"{ours:.2f} s, all metrics",
            f"{name} {took:,.0f} s (of {queries} queries), map only",
            f"{took / ours:.1f} x",
        ]
        for took, name in sorted(measured)
    ]


def rows(queries: int = 50, rounds: int = 3) -> list[list[str]]:
    shapes = (
        ("10,000 x 60,000 x 128, 10 classes", problem(10_000, 60_000, 128, 10, spread=3.0)),
        ("5,000 x 60,502 x 512, 11,316 classes", problem(5_000, 60_502, 512, 11_316, spread=3.0, within=True)),
    )
    with threadpool_limits(1), fixed_threads(1):
        return [row for what, one in shapes for row in compare(what, one, queries, rounds)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    heads = ["what", "simbench", "peer", "times faster"]
    sys.stdout.write(tabulate(rows(asked.queries, asked.rounds), heads, tablefmt="pipe") + "\n")


if __name__ == "__main__":
    main()
