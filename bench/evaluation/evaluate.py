"""The public face: vectors and labels in, every number of METRICS out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from bench.contract import DataError, UsageError
from bench.evaluation.metrics import collapse, ranking
from bench.evaluation.metrics.metric import TIES
from bench.evaluation.metrics.ties import score_with_ties, tied_queries
from bench.evaluation.metrics.verification import pair_metrics
from bench.evaluation.ranking.arrays import Floats, Ints, Neighbors, Scores
from bench.evaluation.ranking.backend import RankedBlock
from bench.evaluation.ranking.engine import rank_gallery
from bench.evaluation.ranking.inputs import as_vectors, check_ks, check_threads, number_sides
from bench.evaluation.ranking.relevance import Layout, build_layout
from bench.evaluation.ranking.rows import Rows, check_vectors, refuse_overflow
from bench.evaluation.statistics.bootstrap import ci95, macro_means

if TYPE_CHECKING:
    from bench.evaluation.ranking.inputs import NamesLike, VectorsLike

COLLAPSED = "collapsed"
UNINFORMATIVE = "uninformative: every item is relevant to every query"
_FEWEST_NEIGHBORS = 50  # what the search page shows


@dataclass(frozen=True)
class Evaluation:
    """The scores of one ranking, and what they were made of.

    scores: metric name -> mean over the queries that have something to find; also ``queries_without_relevant`` (a
    count), ``pair_auc``, ``pair_eer``, ``effective_rank`` and ``mean_pairwise_cosine`` (of the gallery).
    macro: metric name -> mean of the per-class means. ci95: metric name -> bootstrap interval of the mean.
    per_query: metric name -> float64 ``(q,)`` in the caller's order, NaN where R = 0; also ``relevant`` (R) and
    ``items`` (N), int64.
    neighbors: int32 ``(q, K)`` gallery positions, best first, -1 where there are no more, K = max(50, largest k) but
    at most the gallery; similarities: float32 ``(q, K)``, NaN where there are no more. Equal similarities are
    ordered against the query, whatever ``ties`` says, and so ``knn_accuracy@k`` is pessimistic always.
    flags: short warnings that belong beside the scores.
    """

    scores: Mapping[str, float]
    macro: Mapping[str, float]
    ci95: Mapping[str, tuple[float, float]]
    per_query: Mapping[str, NDArray[Any]]
    neighbors: Neighbors
    similarities: Scores
    flags: tuple[str, ...]


def evaluate(
    query: VectorsLike,
    query_labels: NamesLike,
    gallery: VectorsLike,
    gallery_labels: NamesLike,
    *,
    query_ids: NamesLike | None = None,
    gallery_ids: NamesLike | None = None,
    ks: Sequence[int] = (1, 10, 50),
    normalize: bool = True,
    ties: str = "pessimistic",
    full: bool = True,
    threads: int | None = None,
    device: str = "cpu",
    seed: int = 0,
) -> Evaluation:
    """Rank the whole gallery for every query by inner product and score the rankings.

    query ``(q, d)``, gallery ``(N, d)``: real arrays, memory maps or torch tensors; compared as float32, each row
    scaled to unit length if ``normalize``. Labels and ids: whole numbers or text, one a row; an item is relevant if its
    label is the query's. With ids on both sides, every gallery item with the query's id is excluded for that query, be
    it one or several; two queries with one id each exclude it, and an id found on one side only excludes nothing.
    ties: "pessimistic", "mean" (expected value) or "optimistic". full: False leaves out what needs more than the first
    max(ks) items of a ranking (map, map@r, r_precision, mrr, ranks, counts of ties). threads: CPU threads of the whole
    evaluation. device: "cpu", or a torch device such as "cuda" that multiplies and sorts: exact ranks, of scores that
    may differ in the last bit. seed: for bootstrap, pairs and samples.

    Raises DataError for vectors, labels or ids that do not fit or cannot be ranked, and if no query has anything
    relevant; UsageError for wrong ``ks``, ``ties`` or ``threads``, or ids on one side only.
    """
    if ties not in TIES:
        raise UsageError(f"unknown ties {ties!r} (known: {', '.join(TIES)})")
    if not full and ties != "pessimistic":
        raise UsageError(f"ties={ties!r} needs the full ranking; leave out full=False")
    cutoffs, workers = check_ks(ks), check_threads(threads)
    queries, items = _check_both(query, gallery, normalize=normalize)
    labels, gallery_numbers = number_sides(query_labels, gallery_labels, (len(queries), len(items)), "labels")
    layout = build_layout(labels, gallery_numbers, *_number_ids(query_ids, gallery_ids, queries, items))
    if not layout.relevant.any():
        raise DataError(f"none of the {len(queries)} queries has a relevant item in the gallery: do the labels match?")

    keep = min(len(items), max(_FEWEST_NEIGHBORS, *cutoffs))
    score = partial(_score_block, labels=labels, ks=cutoffs, ties=ties)
    parts = rank_gallery(queries, items, layout, score, keep=keep, full=full, threads=workers, device=device)
    per_query = {name: np.concatenate([part.values[name] for part in parts]) for name in parts[0].values}
    with threadpool_limits(limits=workers, user_api="blas"):
        state = collapse.inspect_sample(items.take(layout.order[collapse.sample_rows(len(items), seed)]))
        interval = ci95(per_query, labels, seed=seed)
    return Evaluation(
        scores=_means(per_query) | _whole(queries, items, layout, state, seed),
        macro=macro_means(per_query, labels),
        ci95=interval,
        per_query=per_query | {"relevant": layout.relevant, "items": layout.items},
        neighbors=np.concatenate([part.neighbors for part in parts]),
        similarities=np.concatenate([part.similarities for part in parts]),
        flags=_flags(layout, state),
    )


@dataclass(frozen=True)
class _Part:
    """What is kept of some consecutive queries."""

    values: dict[str, Floats]
    neighbors: Neighbors
    similarities: Scores


def _score_block(block: RankedBlock, labels: Ints, ks: tuple[int, ...], ties: str) -> _Part:
    """Return every per-query metric of a block."""
    values = score_with_ties(block.pessimistic, block.optimistic, ks, ties)
    for k in ks:
        values[f"knn_accuracy@{k}"] = ranking.knn_accuracy_at(
            block.neighbor_labels, block.similarities, labels[block.rows], block.pessimistic.relevant, k
        )
    if block.pessimistic.depth is None:
        values["map_optimistic"] = ranking.average_precision(block.optimistic)
        values["tied_queries"] = tied_queries(block.pessimistic, block.optimistic)
    return _Part(values, block.neighbors, block.similarities)


def _check_both(query: VectorsLike, gallery: VectorsLike, *, normalize: bool) -> tuple[Rows, Rows]:
    query_array, gallery_array = as_vectors(query, "query"), as_vectors(gallery, "gallery")
    if query_array.shape[1] != gallery_array.shape[1]:
        raise DataError(
            f"query vectors have {query_array.shape[1]} dimensions, gallery vectors {gallery_array.shape[1]}"
        )
    queries = check_vectors(query_array, "query vectors", normalize=normalize)
    items = check_vectors(gallery_array, "gallery vectors", normalize=normalize)
    refuse_overflow(queries, items)
    return queries, items


def _number_ids(
    query_ids: NamesLike | None, gallery_ids: NamesLike | None, queries: Rows, items: Rows
) -> tuple[Ints, Ints] | tuple[None, None]:
    if query_ids is None and gallery_ids is None:
        return None, None
    if query_ids is None or gallery_ids is None:
        given, missing = ("gallery", "query") if query_ids is None else ("query", "gallery")
        raise UsageError(f"{given}_ids given without {missing}_ids: give both, so that self-matches can be excluded")
    return number_sides(query_ids, gallery_ids, (len(queries), len(items)), "ids")


def _means(per_query: Mapping[str, Floats]) -> dict[str, float]:
    """Return the mean of every metric over the queries that have a value, of which there is at least one."""
    return {name: float(np.nanmean(values)) for name, values in per_query.items()}


def _whole(queries: Rows, items: Rows, layout: Layout, state: collapse.Health, seed: int) -> dict[str, float]:
    """Return the scores that belong to the whole evaluation, not to a query."""
    auc, eer = pair_metrics(queries, items, layout, seed=seed)
    return {
        "queries_without_relevant": float((layout.relevant == 0).sum()),
        "pair_auc": auc,
        "pair_eer": eer,
        "effective_rank": state.effective_rank,
        "mean_pairwise_cosine": state.mean_pairwise_cosine,
    }


def _flags(layout: Layout, state: collapse.Health) -> tuple[str, ...]:
    flags = []
    if state.collapsed:
        flags.append(COLLAPSED)
    if (layout.relevant == layout.items).all():
        flags.append(UNINFORMATIVE)
    return tuple(flags)
