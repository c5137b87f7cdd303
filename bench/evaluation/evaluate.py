"""``bench.evaluate``: vectors and labels in, every metric out; the metrics are defined in ``metrics/``."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.contract import UsageError
from bench.environment import blas_threads
from bench.evaluation.metrics import collapse, ranking
from bench.evaluation.metrics.metric import TIES
from bench.evaluation.metrics.pooled import pooled_scores
from bench.evaluation.metrics.registry import extra
from bench.evaluation.metrics.ties import score_with_ties, tied_queries
from bench.evaluation.metrics.verification import pair_metrics
from bench.evaluation.ranking.arrays import Floats, Ints, Neighbors, Scores
from bench.evaluation.ranking.backend import RankedBlock
from bench.evaluation.ranking.engine import check_threads, rank_gallery
from bench.evaluation.ranking.relevance import Layout
from bench.evaluation.ranking.retrieval_set import RetrievalSet
from bench.evaluation.replicates import Ranked
from bench.evaluation.statistics.estimates import intervals, macro_means
from bench.evaluation.statistics.jackknife import Replicates, groups_of_classes, groups_of_images

if TYPE_CHECKING:
    from bench.evaluation.ranking.given_lists import GainsLike, ListsLike
    from bench.evaluation.ranking.relevance import NamesLike
    from bench.evaluation.ranking.vectors import VectorsLike

COLLAPSED = "collapsed"
UNINFORMATIVE = "uninformative: every item is relevant to every query"
_FEWEST_NEIGHBORS = 50  # what the search page shows
_SPARE = 1.2  # so many times the neighbours are found: a twentieth of the gallery leaves, and k are still there


@dataclass(frozen=True)
class Evaluation:
    """The scores of one ranking, and what they were made of.

    Attributes:
        scores: Metric name -> mean over the queries that have something to find; also ``queries_without_relevant`` (a
            count), ``pair_auc``, ``pair_eer``, and of the gallery ``effective_rank`` and ``mean_pairwise_cosine``.
        macro: Metric name -> mean of the per-class means; nothing where lists say who is relevant.
        ci95: Metric name -> 95 % interval of the mean, over other images of the same classes.
        ci95_other_classes: The same over other classes; nothing where there are fewer than three, or no labels.
        replicates: The scores with groups of images, and of classes, left out: what both intervals are made of.
        per_query: Metric name -> float64 ``(q,)`` in the caller's order, NaN where a query has nothing to find; also
            ``relevant`` (R, how many items are relevant) and ``items`` (N, how many were ranked), int64 ``(q,)``.
        neighbors: Gallery positions int32 ``(q, K)``, best first, -1 where there are no more; K is max(50, largest k),
            but at most the gallery.
        similarities: float32 ``(q, K)``, NaN where there are no more. Equal similarities are ordered against the query,
            whatever ``ties`` says, and so ``knn_accuracy@k`` is pessimistic always.
        flags: Short warnings that belong beside the scores, such as ``collapsed``.

    Examples:
        >>> from bench import evaluate
        >>> found = evaluate([[1, 0], [0, 1]], [0, 1], [[1, 0], [1, 1], [0, 1]], [0, 0, 1], ks=[1])
        >>> found.per_query["relevant"].tolist(), found.per_query["map"].tolist()
        ([2, 1], [1.0, 1.0])
        >>> found.neighbors.tolist()
        [[0, 1, 2], [2, 1, 0]]
    """

    scores: Mapping[str, float]
    macro: Mapping[str, float]
    ci95: Mapping[str, tuple[float, float]]
    ci95_other_classes: Mapping[str, tuple[float, float]]
    replicates: Replicates
    per_query: Mapping[str, NDArray[Any]]
    neighbors: Neighbors
    similarities: Scores
    flags: tuple[str, ...]


def evaluate(
    query: VectorsLike,
    query_labels: NamesLike | None,
    gallery: VectorsLike,
    gallery_labels: NamesLike | None,
    *,
    query_ids: NamesLike | None = None,
    gallery_ids: NamesLike | None = None,
    query_groups: NamesLike | None = None,
    gallery_groups: NamesLike | None = None,
    positives: ListsLike | None = None,
    gains: GainsLike | None = None,
    ignore: ListsLike | None = None,
    ks: Sequence[int] = (1, 10, 50),
    metrics: Sequence[str] = (),
    normalize: bool = True,
    ties: str = "pessimistic",
    full: bool = True,
    threads: int | None = None,
    device: str = "cpu",
    seed: int = 0,
) -> Evaluation:
    """Rank the whole gallery for every query by inner product and score the rankings.

    Args:
        query: Real numbers ``(q, d)``: array, memory map, torch tensor or lists; compared as float32.
        query_labels: Whole numbers or text ``(q,)``. An item is relevant if its label is the query's. None, as the
            gallery's, where ``positives`` say what is. Or several a picture on both sides: lists, or boolean matrices
            ``(n, labels)``; an item is relevant then if it shares one, as if it were listed.
        gallery: ``(N, d)``, likewise.
        gallery_labels: ``(N,)``, likewise.
        query_ids: Whole numbers or text ``(q,)``, given together with ``gallery_ids``.
        gallery_ids: ``(N,)``. Every gallery item with the query's id is excluded for that query, be it one or several;
            an id found on one side only excludes nothing.
        query_groups: Whole numbers or text ``(q,)``, such as the camera, given together with ``gallery_groups``.
        gallery_groups: ``(N,)``. An item of the query's label *and* group is excluded for it; the empty text is none.
        positives: What answers each query: q lists of gallery ids, of gallery positions where no ids are given; or a
            boolean matrix ``(q, N)``, such as a sparse one of SciPy. There are no scores then that need labels: no
            ``macro``, no ``ci95_other_classes``, no ``knn_accuracy@k``.
        gains: What each of the ``positives`` is worth in ``ndcg@k``, in the same form: 0 (not relevant) or more.
        ignore: What is excluded for each query, neither an answer nor a mistake; in the same form.
        ks: Cutoffs of ``map@k``, ``hit@k`` and the like.
        metrics: Beside the usual: "map_trapezoid", "minp", "mp@k" (at each of ``ks``), "micro_ap", "recall_at_p90".
        normalize: Whether each row is scaled to unit length, so that similarities are cosines.
        ties: How equal similarities count: "pessimistic", "mean" (the expected value) or "optimistic".
        full: False leaves out what needs more than the first max(ks) items of a ranking (map, map@r, r_precision, mrr,
            ranks, counts of ties).
        threads: CPU threads of the whole evaluation; by default one a processor, but at most 8.
        device: "cpu", or a torch device such as "cuda" that multiplies and ranks: exact ranks, of scores that may
            differ in the last bit. Tensors that lie there are checked and ranked there; samples alone are copied.
        seed: For pairs and samples.

    Returns:
        The scores, per-query values and nearest neighbours.

    Raises:
        DataError: Vectors, labels, ids, groups or lists do not fit or cannot be ranked; a list names what is not in
            the gallery, or one item is both positive and ignored to a query; or no query has anything relevant.
        UsageError: Wrong ``ks``, ``metrics``, ``ties`` or ``threads``; ids or groups on one side only; both labels and
            positives, or neither; gains without positives.

    Examples:
        Each of four images asks the other three; the third is nearest to an image of another class.

        >>> vectors = [[1.0, 0.0], [0.9, 0.1], [0.8, 0.6], [0.0, 1.0]]
        >>> labels, ids = ["cat", "cat", "dog", "dog"], range(4)
        >>> found = evaluate(vectors, labels, vectors, labels, query_ids=ids, gallery_ids=ids, ks=[1])
        >>> round(found.scores["map"], 4), found.scores["hit@1"]
        (0.8333, 0.75)

        Lists in place of labels, by position; what the second query ignores is not ranked for it.

        >>> found = evaluate(vectors[:2], None, vectors[2:], None, positives=[[0], [1]], ignore=[[], [0]], ks=[1])
        >>> found.per_query["map"].tolist(), found.per_query["items"].tolist()
        ([1.0, 1.0], [2, 1])
    """
    _check_options(ks, ties=ties, full=full, threads=threads)  # before any vector is read
    extra(metrics)
    data = RetrievalSet.of(
        query,
        query_labels,
        gallery,
        gallery_labels,
        query_ids=query_ids,
        gallery_ids=gallery_ids,
        query_groups=query_groups,
        gallery_groups=gallery_groups,
        positives=positives,
        gains=gains,
        ignore=ignore,
        normalize=normalize,
        device=device,
    )
    return evaluate_set(data, ks=ks, metrics=metrics, ties=ties, full=full, threads=threads, device=device, seed=seed)


def evaluate_set(
    data: RetrievalSet,
    *,
    ks: Sequence[int] = (1, 10, 50),
    metrics: Sequence[str] = (),
    ties: str = "pessimistic",
    full: bool = True,
    threads: int | None = None,
    device: str = "cpu",
    seed: int = 0,
    replicates: bool = True,
) -> Evaluation:
    """Do what ``evaluate`` does with vectors, labels and ids that are checked already; arguments as there.

    replicates: False leaves out replicates and intervals, most of the work where there are few images.
    """
    cutoffs, workers = _check_options(ks, ties=ties, full=full, threads=threads)
    layout, labels, size = data.layout, data.query_labels, len(data.gallery)
    shown = max(_FEWEST_NEIGHBORS, *cutoffs)
    score = partial(_score_block, ks=cutoffs, ties=ties, asked=extra(metrics), labelled=data.labelled)

    def reduce(block: RankedBlock) -> _Part:
        return _Part(score(block, labels[block.rows]), block.neighbors, block.similarities)

    keep = min(size, round(shown * _SPARE))
    parts = rank_gallery(data.query, data.gallery, layout, reduce, keep=keep, full=full, threads=workers, device=device)
    per_query = {name: np.concatenate([part.values[name] for part in parts]) for name in parts[0].values}
    neighbors = np.concatenate([part.neighbors for part in parts])
    similarities = np.concatenate([part.similarities for part in parts])
    with blas_threads(workers):
        state = collapse.Health.of(data.gallery.take(layout.order[collapse.sample_rows(size, seed)]))
    ranked = Ranked(data, score, per_query, neighbors, similarities, full, device)
    left_out = _replicates(ranked, workers, wanted=replicates)
    means = {name: float(np.nanmean(values)) for name, values in per_query.items()}
    return Evaluation(
        scores=means | _whole(data, state, seed) | pooled_scores(data, metrics),
        macro=macro_means(per_query, labels) if data.labelled else {},
        ci95=intervals(means, left_out.these_classes),
        ci95_other_classes=intervals(means, left_out.other_classes),
        replicates=left_out,
        per_query=per_query | {"relevant": layout.relevant, "items": layout.items},
        neighbors=neighbors[:, :shown],
        similarities=similarities[:, :shown],
        flags=_flags(layout, state),
    )


def _replicates(ranked: Ranked, threads: int, *, wanted: bool) -> Replicates:
    """Return every score without each group of images, and of classes; no score where they are not wanted."""
    data = ranked.data
    labels = data.query_labels, data.gallery_labels
    these = groups_of_images(labels, data.images)
    others = groups_of_classes(labels) if data.labelled else None
    if not wanted:
        return Replicates({}, {}, these, others)
    return Replicates(
        ranked.replicates(these, threads=threads),
        {} if others is None else ranked.replicates(others, threads=threads),
        these,
        others,
    )


def _check_options(ks: Iterable[int], *, ties: str, full: bool, threads: int | None) -> tuple[tuple[int, ...], int]:
    """Return the cutoffs, ascending and each once, and the number of threads. Raises UsageError for what is wrong."""
    if ties not in TIES:
        raise UsageError(f"unknown ties {ties!r} (known: {', '.join(TIES)})")
    if not full and ties != "pessimistic":
        raise UsageError(f"ties={ties!r} needs the full ranking; leave out full=False")
    cutoffs = set()
    for k in ks:
        if isinstance(k, bool):
            raise UsageError(f"every k must be a whole number above 0, got {k!r}")
        try:
            cutoffs.add(operator.index(k))
        except TypeError:
            raise UsageError(f"every k must be a whole number above 0, got {k!r}") from None
    if not cutoffs or min(cutoffs) < 1:
        raise UsageError(f"every k must be a whole number above 0, got {sorted(cutoffs)}")
    return tuple(sorted(cutoffs)), check_threads(threads)


@dataclass(frozen=True)
class _Part:
    """What is kept of some consecutive queries."""

    values: dict[str, Floats]
    neighbors: Neighbors
    similarities: Scores


def _score_block(
    block: RankedBlock, labels: Ints, *, ks: tuple[int, ...], ties: str, asked: tuple[str, ...], labelled: bool
) -> dict[str, Floats]:
    """Return every per-query metric of a block. labels: int64 ``(queries,)``, those of its queries, if ``labelled``."""
    values = score_with_ties(block.pessimistic, block.optimistic, ks, ties, asked)
    for k in ks if labelled else ():
        values[f"knn_accuracy@{k}"] = ranking.knn_accuracy_at(
            block.neighbor_labels, block.similarities, labels, block.pessimistic.relevant, k
        )
    if block.pessimistic.depth is None:
        values["map_optimistic"] = ranking.average_precision(block.optimistic)
        values["tied_queries"] = tied_queries(block.pessimistic, block.optimistic)
    return values


def _whole(data: RetrievalSet, state: collapse.Health, seed: int) -> dict[str, float]:
    """Return the scores that belong to the whole evaluation, not to a query."""
    auc, eer = pair_metrics(data, seed=seed)
    return {
        "queries_without_relevant": float((data.layout.relevant == 0).sum()),
        "pair_auc": auc,
        "pair_eer": eer,
        "effective_rank": state.effective_rank,
        "mean_pairwise_cosine": state.mean_pairwise_cosine,
    }


def _flags(layout: Layout, state: collapse.Health) -> tuple[str, ...]:
    raised = {COLLAPSED: state.collapsed, UNINFORMATIVE: bool((layout.relevant == layout.items).all())}
    return tuple(flag for flag, there in raised.items() if there)
