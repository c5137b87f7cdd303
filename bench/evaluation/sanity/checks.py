"""Could these numbers be wrong? Checks on the vectors, labels and ranking of one evaluation that cost little.

A control never changes a score: it is a number, a limit, and what it means that the limit is passed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from bench.contract import Control
from bench.evaluation.evaluate import Evaluation
from bench.evaluation.metrics import chance, collapse
from bench.evaluation.ranking.arrays import Floats, Ints, Neighbors
from bench.evaluation.ranking.engine import check_threads
from bench.evaluation.ranking.retrieval_set import RetrievalSet
from bench.evaluation.ranking.vectors import Rows, equal_rows
from bench.evaluation.sanity.class_structure import class_structure

SAME_COSINE = 1 - 1e-6  # vectors a thousandth apart: one image embedded twice, and not two images of a tight class
MOST_COPIES = 0.05  # of queries, or of the gallery: real data hold some copies (docs/design/audit.md)
MOST_LEARNT = 0.10  # of queries found in train: as many as the most copied public test set, CIFAR-100's, has
MOST_EXPLAINED = 0.999  # of one dimension's variance; the tightest method measured on FashionMNIST reaches 0.995
PERFECT, TIGHT = 0.9999, 0.99  # map, and variance explained in all dimensions: together they are not learnt
FEWEST = 50  # rows from which shares and variances say anything
MOST_UNANSWERABLE = 0.5  # of queries: beyond it, the mean speaks of the smaller part of them
HUB_NEIGHBORS = 10  # k of the k-occurrence


def check_evaluation(
    evaluation: Evaluation,
    data: RetrievalSet,
    *,
    ties: str = "pessimistic",
    threads: int | None = None,
    seed: int = 0,
    train_copies: float | None = None,
) -> tuple[Control, ...]:
    """Return every control of an evaluation; where lists say who is relevant, those of labels have no meaning.

    Args:
        evaluation: What ``evaluate_set`` returned for ``data``.
        data: What was ranked; cosines are compared, whether or not vectors were normalised for the ranking.
        ties: The tie rule of the evaluation.
        threads: CPU threads; by default one a processor, but at most 8.
        seed: For samples and random draws.
        train_copies: The share of queries that are known to be among the training images; without it queries are
            looked for among ``data.train``, where there is one.
    """
    unit = data.unit
    if train_copies is None and unit.train is not None:
        train_copies = _share_in(unit.query, unit.train)
    return (
        _unanswerable(evaluation.per_query["relevant"]),
        *_chance(unit, ties=ties, threads=check_threads(threads), seed=seed),
        *_collapse(evaluation),
        *_copies(unit, evaluation.neighbors),
        *(_classes(unit, evaluation) if unit.labelled else ()),
        *_learnt(train_copies),
        hubness(evaluation.neighbors, len(unit.gallery)),
    )


def failures(controls: Sequence[Control]) -> tuple[str, ...]:
    """Return a flag for each control that was not passed; docs/design/controls.md says what each name means."""
    return tuple(
        f"control failed: {one.name} {one.value:.4g} (limit {one.limit:.4g})"
        for one in controls
        if not one.passed and one.limit is not None
    )


def hubness(neighbors: Neighbors, items: int) -> Control:
    """Return the skewness of the 10-occurrence: how often each of N items is among the first ten of a query.

    neighbors: int32 ``(q, K)`` gallery positions, best first, -1 where there are no more. 0: every item is found alike
    often; large: a few hubs are found by everyone. Source: Radovanovic, Nanopoulos and Ivanovic, "Hubs in space", JMLR
    11, 2010.
    """
    near = neighbors[:, :HUB_NEIGHBORS]
    occurrence = np.bincount(near[near >= 0].ravel(), minlength=items).astype(np.float64)
    spread = occurrence.std()
    skew = float(((occurrence - occurrence.mean()) ** 3).mean() / spread**3) if spread > 0 else 0.0
    return Control("hubness", skew, None, True, "skew of how often an item is among a query's first ten; 0 is even")


def _chance(data: RetrievalSet, *, ties: str, threads: int, seed: int) -> Iterator[Control]:
    sample = chance.draw_sample(data, seed=seed)
    for name, draw, what in (
        ("shuffled_labels", chance.shuffled_labels, "map with labels shuffled over the images"),
        ("random_vectors", chance.random_vectors, "map of random vectors"),
    ):
        found = draw(sample, ties=ties, seed=seed, threads=threads)
        meaning = f"{what}; chance gives {found.chance:.4f}, and more means that ties or the ranking favour the method"
        yield Control(name, found.value, found.limit, not found.value > found.limit, meaning)


def _unanswerable(relevant: Ints) -> Control:
    share = float((relevant == 0).mean())
    scored = f"{int((relevant > 0).sum()):,} of {len(relevant):,} queries scored"
    meaning = f"share of queries with nothing to find in the gallery, which are in no mean: {scored}"
    return Control("nothing_to_find", share, MOST_UNANSWERABLE, share <= MOST_UNANSWERABLE, meaning)


def _collapse(evaluation: Evaluation) -> Iterator[Control]:
    cosine, rank = (evaluation.scores[name] for name in ("mean_pairwise_cosine", "effective_rank"))
    yield Control(
        "mean_pairwise_cosine",
        cosine,
        collapse.COLLAPSED_COSINE,
        not cosine > collapse.COLLAPSED_COSINE,
        "mean cosine of pairs of gallery vectors; near 1 all vectors are one",
    )
    yield Control(
        "effective_rank",
        rank,
        collapse.COLLAPSED_RANK,
        bool(np.isnan(cosine)) or not rank < collapse.COLLAPSED_RANK,  # one vector alone has rank 1
        "dimensions that the gallery uses; below 2 the vectors hold one number",
    )


def _copies(data: RetrievalSet, neighbors: Neighbors) -> Iterator[Control]:
    queries, items = data.query, data.gallery
    nearest = _nearest_cosines(queries, items, neighbors[:, 0].astype(np.int64))
    found = float((nearest >= SAME_COSINE).mean())
    copies, _ = equal_rows(len(items), items.take)
    yield Control(
        "nearest_is_a_copy",
        found,
        MOST_COPIES,
        len(queries) < FEWEST or found <= MOST_COPIES,
        "share of queries whose nearest item has their own vector: the query itself left in the gallery, or copies",
    )
    repeated = len(copies) / len(items)
    yield Control(
        "gallery_copies",
        repeated,
        MOST_COPIES,
        len(items) < FEWEST or repeated <= MOST_COPIES,
        "share of gallery vectors that equal an earlier one: items that are there twice",
    )


def _classes(data: RetrievalSet, evaluation: Evaluation) -> Iterator[Control]:
    found = class_structure(data)
    enough = min(len(data.query), len(data.gallery)) >= FEWEST
    yield Control(
        "label_in_a_dimension",
        found.dimension_effect,
        MOST_EXPLAINED,
        not (enough and found.dimension_effect > MOST_EXPLAINED),
        "largest share of a dimension's variance that the label explains; at 1 the label is written in the vectors",
    )
    score = evaluation.scores.get("map", float("nan"))
    yield Control(
        "too_perfect",
        score,
        PERFECT,
        not (enough and score >= PERFECT and found.scatter > TIGHT),
        f"map, where the label explains {found.scatter:.4f} of the vectors' variance; both near 1: labels, not images",
    )
    yield Control("intra_class_cosine", found.intra, None, True, "mean cosine of a query and an item of its class")
    yield Control("inter_class_cosine", found.inter, None, True, "mean cosine of a query and an item of another class")


def _learnt(share: float | None) -> Iterator[Control]:
    if share is not None:
        meaning = "share of queries that were among the training data"
        yield Control("train_is_test", share, MOST_LEARNT, share <= MOST_LEARNT, meaning)


def _nearest_cosines(queries: Rows, items: Rows, nearest: Ints) -> Floats:
    """Return the cosine of each query and its nearest item, float64 ``(q,)``; -1 where it has none."""
    cosines = np.full(len(queries), -1.0)
    rows = np.flatnonzero(nearest >= 0)
    step = max(1, (1 << 21) // items.dimension)
    for first in range(0, len(rows), step):
        some = rows[first : first + step]
        cosines[some] = np.einsum("ij,ij->i", queries.take(some), items.take(nearest[some]), dtype=np.float64)
    return cosines


def _share_in(queries: Rows, train: Rows) -> float:
    """Return the share of queries with a vector that is also in train."""
    known = train.take(slice(None))
    both = np.concatenate((known, queries.take(slice(None))))
    copies, originals = equal_rows(len(both), both.__getitem__)
    return float(((copies >= len(known)) & (originals < len(known))).sum() / len(queries))
