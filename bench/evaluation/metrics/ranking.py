"""Ranks to numbers: every metric of a ranking, declared where it is computed.

Common to all of them: the argument is an ``Order`` of the N items that are ranked for each query, R of them relevant,
and the result is float64 ``(q,)``. A query with R = 0 gives NaN. Ties are settled in the order: pessimistic ranks give
the pessimistic value, optimistic ranks the optimistic one, and ``ties.ExpectedRanks`` the mean over all orders of tied
items. Where k > N the ranking simply ends at N. P@j is the number of hits in the first j, over j.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bench.evaluation.metrics.metric import RANKING, ranking_metric
from bench.evaluation.ranking.arrays import Floats, Ints, Scores
from bench.evaluation.ranking.gains import Gains


class Order(Protocol):
    """What metrics ask of a ranking: ``Ranks``, or their expectation over tied items. Floats are float64 ``(q,)``."""

    @property
    def relevant(self) -> Ints:
        """R of every query, int64 ``(q,)``."""

    @property
    def items(self) -> Ints:
        """N of every query, int64 ``(q,)``."""

    @property
    def depth(self) -> int | None:
        """Up to which rank the order is known; None for all of it."""

    @property
    def gains(self) -> Gains | None:
        """What each relevant item is worth, None where all are worth the same."""

    @property
    def sums(self) -> Floats:
        """Float64 ``(q, 4)``: sum of P@j over all relevant ranks j, of j itself, of P@j over j <= R, and hits in R."""

    def hits(self, k: int) -> Floats:
        """Return how many relevant items are in the first k."""

    def any_hit(self, k: int) -> Floats:
        """Return 1 where a relevant item is in the first k, else 0."""

    def precisions(self, k: int) -> Floats:
        """Return the sum of P@j over relevant ranks j <= k."""

    def discounts(self, k: int) -> Floats:
        """Return the sum of gain / log2(j + 1) over relevant ranks j <= k; a gain is 1 where ``gains`` is None."""

    @property
    def first(self) -> Floats:
        """The rank of the first relevant item."""

    @property
    def first_inverse(self) -> Floats:
        """1 over that rank."""

    @property
    def trapezoids(self) -> Floats:
        """The sum over relevant ranks j of the mean of P@(j - 1), which is 1 at j = 1, and P@j."""

    @property
    def last_inverse(self) -> Floats:
        """1 over the rank of the last relevant item."""

    def precision_to_last(self, k: int) -> Floats:
        """Return the hits in the first k, over k or the rank of the last relevant item if that is less."""


@ranking_metric(
    "map", "higher", "mean average precision over the whole ranking, divided by R", shown="always", interval=True
)
def average_precision(ranks: Order) -> Floats:
    """AP over the whole ranking, 1/R times the sum of P@j over the ranks j of the relevant items.

    Source: Manning, Raghavan and Schütze, Introduction to Information Retrieval, 2008, section 8.4.
    """
    return per_relevant(ranks, ranks.sums[:, 0])


@ranking_metric(
    "map@k", "higher", "average precision of the first k, divided by min(k, R)", shown="always", depth=10, interval=True
)
def average_precision_at(ranks: Order, k: int) -> Floats:
    """AP@k: the sum of P@j over relevant ranks j <= k, over min(k, R); a perfect top k scores 1."""
    return over(ranks.precisions(k), np.minimum(k, ranks.relevant))


@ranking_metric("hit@k", "higher", "share of queries with a hit in the first k", shown="always", depth=1, interval=True)
def hit_at(ranks: Order, k: int) -> Floats:
    """1 if there is a hit in the first k, else 0 (metric learning's Recall@k, re-identification's CMC@k)."""
    return known(ranks, ranks.any_hit(k))


@ranking_metric("precision@k", "higher", "hits in the first k, over k", depth=10)
def precision_at(ranks: Order, k: int) -> Floats:
    """Hits in the first k, over k, also where k > N."""
    return known(ranks, ranks.hits(k) / k)


@ranking_metric("recall@k", "higher", "hits in the first k, over R", depth=10, digits=4)
def recall_at(ranks: Order, k: int) -> Floats:
    """Hits in the first k, over R (the information-retrieval recall)."""
    return per_relevant(ranks, ranks.hits(k))


@ranking_metric(
    "ndcg@k",
    "higher",
    "discounted cumulative gain of the first k, over that of the ideal ranking",
    shown="asked",
    depth=10,
    graded=True,
)
def ndcg_at(ranks: Order, k: int) -> Floats:
    """DCG@k over that of the ideal ranking: the sum of gain / log2(rank + 1); a gain is 1 where none are given.

    The ideal ranking has the relevant items first, by falling gain. As trec_eval's ``ndcg_cut``, whose gain is the
    judgement itself and not 2^judgement - 1. Source: Järvelin and Kekäläinen, ACM TOIS 20(4), 2002.
    """
    return over(ranks.discounts(k), ideal_dcg(ranks, k))


@ranking_metric("map@r", "higher", "average precision of the first R, divided by R", shown="asked")
def average_precision_at_r(ranks: Order) -> Floats:
    """The sum of P@j over relevant ranks j <= R, over R.

    Source: Musgrave, Belongie and Lim, A Metric Learning Reality Check, ECCV 2020.
    """
    return per_relevant(ranks, ranks.sums[:, 2])


@ranking_metric("r_precision", "higher", "hits in the first R, over R", shown="asked")
def r_precision(ranks: Order) -> Floats:
    """Hits in the first R, over R."""
    return per_relevant(ranks, ranks.sums[:, 3])


@ranking_metric("mrr", "higher", "mean of 1 / rank of the first relevant item", shown="asked")
def reciprocal_rank(ranks: Order) -> Floats:
    """1 over the rank of the first relevant item; its mean over queries is the mean reciprocal rank."""
    return known(ranks, ranks.first_inverse)


@ranking_metric("first_rank", "lower", "mean rank of the first relevant item", digits=1, shown="asked")
def first_rank(ranks: Order) -> Floats:
    """The rank of the first relevant item."""
    return known(ranks, ranks.first)


@ranking_metric("mean_rank", "lower", "mean rank of all relevant items", digits=1, shown="asked")
def mean_rank(ranks: Order) -> Floats:
    """The mean rank of all R relevant items; (R + 1) / 2 at best, (N + 1) / 2 by chance."""
    return per_relevant(ranks, ranks.sums[:, 1])


@ranking_metric("mean_rank_norm", "lower", "mean rank from 0 (perfect) to 1 (the worst)", chance=0.5)
def mean_rank_norm(ranks: Order) -> Floats:
    """(mean_rank - (R + 1) / 2) / (N - R); 0 is perfect, 0.5 chance, 1 the worst.

    0.0 where R = N: with nothing irrelevant to rank, every ranking is perfect.
    """
    others = ranks.items - ranks.relevant
    excess = mean_rank(ranks) - (ranks.relevant + 1) / 2
    return known(ranks, np.where(others > 0, excess / np.maximum(others, 1), 0.0))


@ranking_metric(
    "map_trapezoid", "higher", "mean average precision by trapezoids, as revisited Oxford and Paris have it", extra=True
)
def average_precision_trapezoid(ranks: Order) -> Floats:
    """1/R times the sum over relevant ranks j of (P@(j - 1) + P@j) / 2, where P@0 = 1.

    It is the area under the curve of precision and recall, by trapezoids. Source: compute_ap of Radenović et al.,
    Revisiting Oxford and Paris, CVPR 2018, after Philbin et al. 2007; likewise Market-1501's own evaluation.
    """
    return per_relevant(ranks, ranks.trapezoids)


@ranking_metric(
    "minp", "higher", "mean inverse negative penalty: R over the rank of the last relevant item", extra=True
)
def inverse_negative_penalty(ranks: Order) -> Floats:
    """R over the rank of the last relevant item, the hardest one to find.

    Source: Ye et al., Deep Learning for Person Re-identification: A Survey and Outlook, TPAMI 2021.
    """
    return known(ranks, ranks.relevant * ranks.last_inverse)


@ranking_metric(
    "mp@k", "higher", "precision of the first k, or of fewer where the last relevant item stands before", depth=10,
    extra=True,
)  # fmt: skip
def precision_to_last_at(ranks: Order, k: int) -> Floats:
    """Hits in the first kq, over kq = min(k, rank of the last relevant item).

    Source: compute_map of Radenović et al., Revisiting Oxford and Paris, CVPR 2018 (mP@k).
    """
    return known(ranks, ranks.precision_to_last(k))


def score_ranks(ranks: Order, ks: Sequence[int], extra: Collection[str] = ()) -> dict[str, Floats]:
    """Return the declared metrics of an order, by the name they have in files; float64 ``(q,)`` each.

    extra: which of those that are worked out only where they are asked for. Where the ranks are known up to a depth
    only, these are the metrics of the first k.
    """
    wanted = [metric for metric in RANKING.values() if not metric.extra or metric.name in extra]
    whole = [metric for metric in wanted if not metric.general]
    scores = {metric.name: metric.of(ranks) for metric in whole} if ranks.depth is None else {}
    for k in ks:
        scores |= {one.name: one.of(ranks) for one in (m.at(k) for m in wanted if m.general)}
    return scores


def knn_accuracy_at(neighbor_labels: Ints, similarities: Scores, labels: Ints, relevant: Ints, k: int) -> Floats:
    """``knn_accuracy@k``: 1 if the majority label of the first k neighbours is the query's, else 0.

    neighbor_labels: int64 ``(q, K)`` label numbers, best first, -1 where the ranking has ended; similarities: float32
    ``(q, K)``; labels and relevant: int64 ``(q,)``, the query's own label number and its R. A tie in votes goes to the
    label with the larger sum of similarities; a tie in that too counts against the query. NaN where R = 0, like the
    ranking metrics, so that every mean is over the same queries.
    """
    top = neighbor_labels[:, :k]
    own = (top == labels[:, None]).sum(axis=1)
    found = own * 2 > (top >= 0).sum(axis=1)  # more than half: nobody else can have as many
    open_ = np.flatnonzero((own > 0) & ~found)
    found[open_] = _has_majority(top[open_], similarities[open_, :k], labels[open_])
    return np.where(relevant > 0, found.astype(np.float64), np.nan)


def _has_majority(top: Ints, similarity: Scores, labels: Ints) -> NDArray[np.bool_]:
    """Return where no other label has as many votes as the query's own, or as many and as similar ones.

    top: int64 ``(q, k)`` label numbers, -1 for none; the query's own is among them.
    """
    row, column = np.nonzero(top >= 0)
    width = max(int(top.max(initial=0)), int(labels.max(initial=0))) + 1
    voted, voter = np.unique(row * width + top[row, column], return_inverse=True)
    votes = np.bincount(voter, minlength=len(voted))
    weight = np.bincount(voter, weights=similarity[row, column].astype(np.float64), minlength=len(voted))
    owner = voted // width
    own = np.flatnonzero(voted % width == labels[owner])  # one for each query, in their order
    level = (votes == votes[own][owner]) & (weight >= weight[own][owner])
    beaten = (votes > votes[own][owner]) | level
    beaten[own] = False
    ahead: NDArray[np.bool_] = np.bincount(owner[beaten], minlength=len(labels)) == 0
    return ahead


def ideal_dcg(ranks: Order, k: int) -> Floats:
    """Return DCG@k of a ranking that begins with all relevant items, by falling gain; 0 for a query with R = 0."""
    if ranks.gains is not None:
        return ranks.gains.ideal(k)
    length = np.minimum(k, ranks.relevant)
    ideal: Floats = cumulative_discount(int(length.max(initial=0)))[length]
    return ideal


def cumulative_discount(length: int) -> Floats:
    """Return the sums of 1 / log2(j + 1) over j = 1..i for i = 0..length, float64 ``(length + 1,)``."""
    return np.concatenate(([0.0], np.cumsum(1.0 / np.log2(np.arange(1, length + 1) + 1.0))))


def known(ranks: Order, values: Floats) -> Floats:
    """Return the values, with NaN for every query that has nothing to find (R = 0)."""
    return np.where(ranks.relevant > 0, values, np.nan)


def over(total: Floats, divisor: Floats | Ints) -> Floats:
    """Return total / divisor, float64 ``(q,)``; NaN where the divisor is 0."""
    quotient: Floats = np.divide(total, divisor, out=np.full(len(total), np.nan), where=divisor > 0)
    return quotient


def per_relevant(ranks: Order, total: Floats) -> Floats:
    """Return total / R, float64 ``(q,)``; NaN where R = 0."""
    return over(total, ranks.relevant)
