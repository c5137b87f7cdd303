"""Equal scores: what they do to a metric when they count against you, for you, or on average.

Items with one score could stand in any order. ``pessimistic`` puts every non-relevant one first, ``optimistic`` last,
and ``mean`` takes the exact expected value over all orders, all equally likely. The closed forms follow McSherry and
Najork, "Computing information retrieval performance measures efficiently in the presence of tied scores", ECIR 2008.

Pessimistic and optimistic ranks together say where the ties are: for the relevant item at place p among the relevant
ones, optimistic - p items that are not relevant score higher, and pessimistic - optimistic score the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.contract import UsageError
from bench.evaluation.metrics import ranking
from bench.evaluation.ranking.arrays import Floats, Ints
from bench.evaluation.ranking.ranks import Ranks

TIES = ("pessimistic", "mean", "optimistic")


def score_with_ties(pessimistic: Ranks, optimistic: Ranks, ks: Sequence[int], ties: str) -> dict[str, Floats]:
    """Return every ranking metric by name, float64 ``(q,)`` each, with ties settled as asked."""
    if ties == "pessimistic":
        return ranking.score_ranks(pessimistic, ks)
    if ties == "optimistic":
        return ranking.score_ranks(optimistic, ks)
    if ties == "mean":
        return expected_scores(pessimistic, optimistic, ks)
    raise UsageError(f"unknown ties {ties!r} (known: {', '.join(TIES)})")


def tied_queries(pessimistic: Ranks, optimistic: Ranks) -> Floats:
    """Return 1 where ties change a rank of the query and 0 where not, float64 ``(q,)``; NaN where R = 0."""
    tied = np.zeros(len(pessimistic))
    if pessimistic is not optimistic:
        tied[pessimistic.query[pessimistic.values != optimistic.values]] = 1.0
    return ranking.known(pessimistic, tied)


@dataclass(frozen=True)
class _Groups:
    """Runs of relevant items that share their ties; int64, one entry a run.

    query: whose run it is; before: items of any kind ranked above the run; found: relevant ones among those;
    relevant and others: how many of each kind share the ranks before + 1 .. before + relevant + others.
    """

    query: Ints
    before: Ints
    found: Ints
    relevant: Ints
    others: Ints

    @property
    def size(self) -> Ints:
        return self.relevant + self.others

    def within(self, cutoff: int | Ints) -> Ints:
        """Return how many of the run's ranks are at most the cutoff: one number, or one number a query."""
        limit = cutoff if isinstance(cutoff, int) else cutoff[self.query]
        return np.clip(limit - self.before, 0, self.size)

    def total(self, values: NDArray[Any], queries: int) -> Floats:
        """Return the sum of one value a run over each query, float64 ``(q,)``."""
        return np.bincount(self.query, weights=values.astype(np.float64), minlength=queries).astype(np.float64)


def _groups(pessimistic: Ranks, optimistic: Ranks) -> _Groups:
    """Return the runs, in the order of the ranking."""
    query, position = optimistic.query, optimistic.position
    higher, others = optimistic.values - position, pessimistic.values - optimistic.values
    starts = np.ones(len(query), dtype=bool)
    starts[1:] = (np.diff(query) != 0) | (np.diff(higher) != 0) | (np.diff(others) != 0)
    first = np.flatnonzero(starts)
    return _Groups(
        query=query[first],
        before=optimistic.values[first] - 1,
        found=position[first] - 1,
        relevant=np.diff(np.append(first, len(query))),
        others=others[first],
    )


def expected_scores(pessimistic: Ranks, optimistic: Ranks, ks: Sequence[int]) -> dict[str, Floats]:
    """Return the expected value of every ranking metric over all orders of tied items, float64 ``(q,)`` each.

    Denominators do not depend on the order, so each expectation is that of a sum over ranks. NaN where R = 0.
    """
    groups, ranks, n = _groups(pessimistic, optimistic), optimistic, len(optimistic)
    mean = ranking.per_relevant(ranks, groups.total(groups.relevant * (groups.before + (groups.size + 1) / 2), n))
    first = _expected_first(groups, n, ks)
    scores = {
        "map": ranking.per_relevant(ranks, _precision_sum(groups, ranks, int(ranks.items.max(initial=0)))),
        "map@r": ranking.per_relevant(ranks, _precision_sum(groups, ranks, ranks.relevant)),
        "r_precision": ranking.per_relevant(ranks, _hits(groups, ranks, ranks.relevant)),
        "mrr": ranking.known(ranks, first["mrr"]),
        "first_rank": ranking.known(ranks, first["first_rank"]),
        "mean_rank": mean,
        "mean_rank_norm": ranking.normalize_mean_rank(ranks, mean),
    }
    for k in ks:
        scores[f"map@{k}"] = ranking.over(_precision_sum(groups, ranks, k), np.minimum(k, ranks.relevant))
        scores[f"precision@{k}"] = ranking.known(ranks, _hits(groups, ranks, k) / k)
        scores[f"recall@{k}"] = ranking.per_relevant(ranks, _hits(groups, ranks, k))
        scores[f"hit@{k}"] = ranking.known(ranks, first[f"hit@{k}"])
        scores[f"ndcg@{k}"] = ranking.over(_discounted_hits(groups, ranks, k), ranking.ideal_dcg(ranks, k))
    return scores


def _hits(groups: _Groups, ranks: Ranks, cutoff: int | Ints) -> Floats:
    """Expected hits up to the cutoff: any rank of a run holds a relevant item with chance relevant / size."""
    return groups.total(groups.relevant / groups.size * groups.within(cutoff), len(ranks))


def _discounted_hits(groups: _Groups, ranks: Ranks, k: int) -> Floats:
    """Expected DCG@k: the run's discounts up to k, times the chance that a rank of it holds a relevant item."""
    table = ranking.cumulative_discount(min(k, int(ranks.items.max(initial=0))))
    begin = np.minimum(groups.before, len(table) - 1)
    discounts = table[begin + groups.within(k)] - table[begin]
    return groups.total(groups.relevant / groups.size * discounts, len(ranks))


def _precision_sum(groups: _Groups, ranks: Ranks, cutoff: int | Ints) -> Floats:
    """Expected sum of P@j over relevant ranks j up to the cutoff.

    The p-th rank of a run (t items before it, a of them relevant; r relevant of n in it) holds a relevant item with
    chance r/n, and then (p - 1)(r - 1)/(n - 1) of the run's others before it are relevant on average. So the run adds
    r/n * sum over p of (a + 1 + (p - 1)(r - 1)/(n - 1)) / (t + p), which harmonic numbers sum up.
    """
    r, n, t, count = groups.relevant, groups.size, groups.before, groups.within(cutoff)
    harmonic = _harmonic(1 << int(ranks.items.max(initial=0)).bit_length())
    reciprocal = harmonic[t + count] - harmonic[t]  # sum of 1 / (t + p) over p = 1..count
    weighted = count - (t + 1) * reciprocal  # sum of (p - 1) / (t + p): two near-equal terms, hence extended precision
    spread = (r - 1) / np.maximum(n - 1, 1)
    return groups.total(r / n * ((groups.found + 1) * reciprocal + spread * weighted), len(ranks))


@lru_cache(maxsize=2)
def _harmonic(length: int) -> NDArray[np.longdouble]:
    """Return the harmonic numbers H(0)..H(length) in extended precision, read-only."""
    table = np.zeros(length + 1, dtype=np.longdouble)
    np.cumsum(1 / np.arange(1, length + 1, dtype=np.longdouble), out=table[1:])
    table.flags.writeable = False
    return table


def _expected_first(groups: _Groups, queries: int, ks: Sequence[int]) -> dict[str, Floats]:
    """Return the expected mrr, first_rank and hit@k: they depend on each query's first run alone.

    Of n items in random order, r of them relevant, the first relevant one stands at place (n + 1) / (r + 1) on average,
    and at place x with the negative hypergeometric chance p(1) = r / n, p(x + 1) = p(x) (n - r - x + 1) / (n - x).
    """
    runs = np.flatnonzero(groups.found == 0)
    query, before = groups.query[runs], groups.before[runs]
    relevant, others = groups.relevant[runs], groups.others[runs]
    result = {name: np.full(queries, np.nan) for name in ("mrr", "first_rank", *(f"hit@{k}" for k in ks))}
    result["first_rank"][query] = before + (relevant + others + 1) / (relevant + 1)
    result["mrr"][query] = 1.0 / (before + 1)
    for k in ks:
        result[f"hit@{k}"][query] = before < k
    for one in np.flatnonzero(others > 0):
        chance = _first_place(int(relevant[one]), int(others[one]))
        start = int(before[one])
        result["mrr"][query[one]] = (chance / np.arange(start + 1, start + 1 + len(chance))).sum()
        for k in ks:
            result[f"hit@{k}"][query[one]] = min(1.0, chance[: max(0, k - start)].sum())
    return result


def _first_place(relevant: int, others: int) -> Floats:
    """Return the chance that the first relevant item stands at place 1, 2, ..., others + 1 of a shuffled run."""
    size = relevant + others
    x = np.arange(1, others + 1)
    steps = np.concatenate(([relevant / size], (others - x + 1) / (size - x)))
    chance: Floats = np.cumprod(steps, dtype=np.float64)
    return chance
