"""Ranks to numbers: every ranking metric as a pure function.

Common to all of them: the argument is a ``Ranks`` (ascending ranks of the R relevant items of each query, among N
ranked items) and the result is float64 ``(q,)``. A query with R = 0 gives NaN. Ties are settled in the ranks:
pessimistic ranks give the pessimistic value, optimistic ranks the optimistic one (the expected one: see ``ties``).
Where k > N the ranking simply ends at N. P@j is the number of hits in the first j, over j.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.evaluation.ranking.arrays import Floats, Ints, Scores
from bench.evaluation.ranking.ranks import Ranks


def average_precision(ranks: Ranks) -> Floats:
    """``map``: AP over the whole ranking, 1/R times the sum of P@j over the ranks j of the relevant items.

    Source: Manning, Raghavan and Schütze, Introduction to Information Retrieval, 2008, section 8.4.
    """
    return per_relevant(ranks, ranks.sums[:, 0])


def average_precision_at(ranks: Ranks, k: int) -> Floats:
    """``map@k``: the sum of P@j over relevant ranks j <= k, over min(k, R); a perfect top k scores 1."""
    top = ranks.within(k)
    return over(top.total(top.position / top.rank), np.minimum(k, ranks.relevant))


def average_precision_at_r(ranks: Ranks) -> Floats:
    """``map@r``: the sum of P@j over relevant ranks j <= R, over R.

    Source: Musgrave, Belongie and Lim, A Metric Learning Reality Check, ECCV 2020.
    """
    return per_relevant(ranks, ranks.sums[:, 2])


def r_precision(ranks: Ranks) -> Floats:
    """``r_precision``: hits in the first R, over R."""
    return per_relevant(ranks, ranks.sums[:, 3])


def precision_at(ranks: Ranks, k: int) -> Floats:
    """``precision@k``: hits in the first k, over k, also where k > N."""
    return known(ranks, ranks.within(k).count / k)


def recall_at(ranks: Ranks, k: int) -> Floats:
    """``recall@k``: hits in the first k, over R (the information-retrieval recall)."""
    return per_relevant(ranks, ranks.within(k).count)


def hit_at(ranks: Ranks, k: int) -> Floats:
    """``hit@k``: 1 if there is a hit in the first k, else 0 (metric learning's Recall@k, re-identification's CMC@k)."""
    return known(ranks, (ranks.within(k).count > 0).astype(np.float64))


def first_rank(ranks: Ranks) -> Floats:
    """``first_rank``: the rank of the first relevant item."""
    first = np.full(len(ranks), np.nan)
    has = ranks.relevant > 0
    first[has] = ranks.values[ranks.offsets[:-1][has]]
    return first


def reciprocal_rank(ranks: Ranks) -> Floats:
    """``mrr``: 1 over the rank of the first relevant item; its mean over queries is the mean reciprocal rank."""
    reciprocal: Floats = 1.0 / first_rank(ranks)
    return reciprocal


def ndcg_at(ranks: Ranks, k: int) -> Floats:
    """``ndcg@k``: DCG@k over that of the ideal ranking, binary gain, discount 1 / log2(rank + 1).

    The ideal ranking has its min(k, R) first items relevant. Source: Järvelin and Kekäläinen, ACM TOIS 20(4), 2002.
    """
    top = ranks.within(k)
    return over(top.total(1.0 / np.log2(top.rank + 1.0)), ideal_dcg(ranks, k))


def ideal_dcg(ranks: Ranks, k: int) -> Floats:
    """Return DCG@k of a ranking that begins with all relevant items; 0 for a query with R = 0."""
    length = np.minimum(k, ranks.relevant)
    ideal: Floats = cumulative_discount(int(length.max(initial=0)))[length]
    return ideal


def cumulative_discount(length: int) -> Floats:
    """Return the sums of 1 / log2(j + 1) over j = 1..i for i = 0..length, float64 ``(length + 1,)``."""
    return np.concatenate(([0.0], np.cumsum(1.0 / np.log2(np.arange(1, length + 1) + 1.0))))


def mean_rank(ranks: Ranks) -> Floats:
    """``mean_rank``: the mean rank of all R relevant items; (R + 1) / 2 at best, (N + 1) / 2 by chance."""
    return per_relevant(ranks, ranks.sums[:, 1])


def mean_rank_norm(ranks: Ranks) -> Floats:
    """``mean_rank_norm``: (mean_rank - (R + 1) / 2) / (N - R); 0 is perfect, 0.5 chance, 1 the worst.

    0.0 where R = N: with nothing irrelevant to rank, every ranking is perfect.
    """
    return normalize_mean_rank(ranks, mean_rank(ranks))


def normalize_mean_rank(ranks: Ranks, mean: Floats) -> Floats:
    """Return ``mean_rank_norm`` of a mean rank that was already computed, float64 ``(q,)``."""
    others = ranks.items - ranks.relevant
    excess = mean - (ranks.relevant + 1) / 2
    return known(ranks, np.where(others > 0, excess / np.maximum(others, 1), 0.0))


def knn_accuracy_at(neighbor_labels: Ints, similarities: Scores, labels: Ints, relevant: Ints, k: int) -> Floats:
    """``knn_accuracy@k``: 1 if the majority label of the first k neighbours is the query's, else 0.

    neighbor_labels: int64 ``(q, K)`` label numbers, best first, -1 where the ranking has ended; similarities: float32
    ``(q, K)``; labels and relevant: int64 ``(q,)``, the query's own label number and its R. A tie in votes goes to the
    label with the larger sum of similarities; a tie in that too counts against the query. NaN where R = 0, like the
    ranking metrics, so that every mean is over the same queries.
    """
    top, similarity = neighbor_labels[:, :k], similarities[:, :k]
    row, column = np.nonzero(top >= 0)
    width = max(int(top.max(initial=0)), int(labels.max(initial=0))) + 1
    voted, voter = np.unique(row * width + top[row, column], return_inverse=True)
    votes = np.bincount(voter, minlength=len(voted)).astype(np.float64)
    weight = np.bincount(voter, weights=similarity[row, column].astype(np.float64), minlength=len(voted))
    owner, own = voted // width, (voted % width) == labels[voted // width]
    own_votes, own_weight = np.zeros(len(labels)), np.zeros(len(labels))
    own_votes[owner[own]], own_weight[owner[own]] = votes[own], weight[own]
    level = (votes == own_votes[owner]) & (weight >= own_weight[owner])
    beaten = ~own & ((votes > own_votes[owner]) | level)
    lost = np.bincount(owner[beaten], minlength=len(labels)) > 0
    return np.where(relevant > 0, ((own_votes > 0) & ~lost).astype(np.float64), np.nan)


def score_ranks(ranks: Ranks, ks: Sequence[int]) -> dict[str, Floats]:
    """Return every metric that follows from the ranks, by the name it has in files; float64 ``(q,)`` each.

    Where the ranks are known up to a depth only, these are the metrics of the first k.
    """
    scores = {}
    if ranks.depth is None:
        scores = {
            "map": average_precision(ranks),
            "map@r": average_precision_at_r(ranks),
            "r_precision": r_precision(ranks),
            "mrr": reciprocal_rank(ranks),
            "first_rank": first_rank(ranks),
            "mean_rank": mean_rank(ranks),
            "mean_rank_norm": mean_rank_norm(ranks),
        }
    for k in ks:
        scores[f"map@{k}"] = average_precision_at(ranks, k)
        scores[f"precision@{k}"] = precision_at(ranks, k)
        scores[f"recall@{k}"] = recall_at(ranks, k)
        scores[f"hit@{k}"] = hit_at(ranks, k)
        scores[f"ndcg@{k}"] = ndcg_at(ranks, k)
    return scores


def known(ranks: Ranks, values: Floats) -> Floats:
    """Return the values, with NaN for every query that has nothing to find (R = 0)."""
    return np.where(ranks.relevant > 0, values, np.nan)


def over(total: Floats, divisor: Floats | Ints) -> Floats:
    """Return total / divisor, float64 ``(q,)``; NaN where the divisor is 0."""
    quotient: Floats = np.divide(total, divisor, out=np.full(len(total), np.nan), where=divisor > 0)
    return quotient


def per_relevant(ranks: Ranks, total: Floats) -> Floats:
    """Return total / R, float64 ``(q,)``; NaN where R = 0."""
    return over(total, ranks.relevant)
