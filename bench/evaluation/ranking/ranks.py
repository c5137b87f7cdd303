"""The ranks of the relevant items of many queries, as one flat array: all that a ranking metric needs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from bench.contract import DataError
from bench.evaluation.ranking.arrays import Floats, Ints
from bench.evaluation.ranking.gains import Gains
from bench.evaluation.ranking.kernel import sum_ranks


class FromEnds(Protocol):
    """What metrics ask of an order that follows from first and last relevant rank and from hits, float64 ``(q,)``."""

    @property
    def first(self) -> Floats: ...

    @property
    def last(self) -> Floats: ...

    def hits(self, k: int) -> Floats: ...

    @property
    def first_inverse(self) -> Floats:
        """1 over ``first``."""
        inverse: Floats = 1.0 / self.first
        return inverse

    @property
    def last_inverse(self) -> Floats:
        """1 over ``last``."""
        inverse: Floats = 1.0 / self.last
        return inverse

    def precision_to_last(self, k: int) -> Floats:
        """Return the hits in the first k, over k or the rank of the last relevant item if that is less; ``(q,)``."""
        return self.hits(k) / np.fmin(self.last, k)


class OnHost(Protocol):
    """Ranks, wherever they lie."""

    def on_host(self) -> Ranks: ...


@dataclass(frozen=True)
class Ranks(FromEnds):
    """Ranks of the relevant items, query after query (compressed rows).

    values: int64 ``(sum of R,)``, 1-based, ascending within a query, best first.
    offsets: int64 ``(q + 1,)``; the ranks of query i are ``values[offsets[i]:offsets[i + 1]]``.
    items: int64 ``(q,)``, N: how many items were ranked for the query.
    relevant_in_all: int64 ``(q,)``, R, where ``values`` holds only the ranks up to ``depth``; else both are None.
    gains: of all R items of each query, in this order; None where all are worth the same.
    """

    values: Ints
    offsets: Ints
    items: Ints
    relevant_in_all: Ints | None = None
    depth: int | None = None
    gains: Gains | None = None

    def __post_init__(self) -> None:
        if len(self.offsets) != len(self.items) + 1 or int(self.offsets[-1]) != len(self.values):
            raise DataError(
                f"{len(self.values)} ranks of {len(self.items)} queries do not fit offsets of length "
                f"{len(self.offsets)} that end at {int(self.offsets[-1])}"
            )

    def __len__(self) -> int:
        return len(self.items)

    def on_host(self) -> Ranks:
        """Return the ranks as they are: others lie on a device."""
        return self

    def differs(self, other: OnHost) -> Floats:
        """Return 1 where a rank of the query is another than in the other order, else 0, float64 ``(q,)``.

        Where items have gains, a rank that holds another gain is another one, too.
        """
        theirs, tied = other.on_host(), np.zeros(len(self))
        if theirs is not self:
            changed = self.values != theirs.values
            if self.gains is not None and theirs.gains is not None:
                changed |= self.gains.values != theirs.gains.values
            tied[self.query[changed]] = 1.0
        return tied

    @cached_property
    def relevant(self) -> Ints:
        """R of every query, int64 ``(q,)``."""
        return np.diff(self.offsets) if self.relevant_in_all is None else self.relevant_in_all

    @cached_property
    def sums(self) -> Floats:
        """Sums over all ranks of each query, float64 ``(q, 4)``; see ``kernel.sum_ranks``."""
        if self.depth is not None:
            raise DataError(f"ranks are known up to {self.depth} only: metrics of the whole ranking need all of them")
        return sum_ranks(self.values, self.offsets)

    @cached_property
    def query(self) -> Ints:
        """The query that each rank belongs to, int64 like ``values``."""
        return np.repeat(np.arange(len(self), dtype=np.int64), np.diff(self.offsets))

    @cached_property
    def position(self) -> Ints:
        """The place of each relevant item among the relevant items of its query: 1, 2, ..., R."""
        return np.arange(1, len(self.values) + 1, dtype=np.int64) - np.repeat(self.offsets[:-1], np.diff(self.offsets))

    @cached_property
    def _found(self) -> dict[int, Hits]:
        """Answers of ``within`` by cutoff: five metrics ask for each."""
        return {}

    def within(self, cutoff: int) -> Hits:
        """Return the relevant items of rank 1..cutoff. They are among the first ``cutoff`` of a query: ranks ascend."""
        if self.depth is not None and self.depth < min(cutoff, int(self.items.max(initial=0))):
            raise DataError(f"ranks are known up to {self.depth}, not {cutoff}")
        if cutoff not in self._found:
            sizes = np.minimum(np.diff(self.offsets), cutoff)
            query = np.repeat(np.arange(len(self), dtype=np.int64), sizes)
            place = np.arange(len(query), dtype=np.int64) - np.repeat(np.cumsum(sizes) - sizes, sizes)
            rank = self.values[self.offsets[query] + place]
            top = rank <= cutoff
            self._found[cutoff] = Hits(query[top], place[top] + 1, rank[top], len(self))
        return self._found[cutoff]

    def hits(self, k: int) -> Floats:
        """Return how many relevant items are in the first k, float64 ``(q,)``."""
        return self.within(k).count

    def any_hit(self, k: int) -> Floats:
        """Return 1 where a relevant item is in the first k, else 0, float64 ``(q,)``."""
        return (self.hits(k) > 0).astype(np.float64)

    def precisions(self, k: int) -> Floats:
        """Return the sum of P@j over the relevant ranks j <= k, float64 ``(q,)``; P@j: hits in the first j, over j."""
        top = self.within(k)
        return top.total(top.position / top.rank)

    def discounts(self, k: int) -> Floats:
        """Return the sum of gain / log2(j + 1) over relevant ranks j <= k, float64 ``(q,)``; a gain is 1 by default."""
        top = self.within(k)
        gains = 1.0 if self.gains is None else self.gains.of(top.query, top.position)
        return top.total(gains / np.log2(top.rank + 1.0))

    @property
    def trapezoids(self) -> Floats:
        """The sum over relevant ranks j of the mean of P@j and of P@(j - 1), which is 1 at j = 1; float64 ``(q,)``."""
        if self.depth is not None:
            raise DataError(f"ranks are known up to {self.depth} only: metrics of the whole ranking need all of them")
        before = np.where(self.values > 1, (self.position - 1) / np.maximum(self.values - 1, 1), 1.0)
        after = self.position / self.values
        return np.bincount(self.query, weights=(before + after) / 2, minlength=len(self)).astype(np.float64)

    @property
    def last(self) -> Floats:
        """The rank of the last relevant item, float64 ``(q,)``; infinite where it is not known, NaN where R = 0."""
        known = np.diff(self.offsets)
        last = np.where(self.relevant > 0, np.inf, np.nan)
        whole = (known == self.relevant) & (known > 0)
        last[whole] = self.values[self.offsets[1:][whole] - 1]
        return last

    @property
    def first(self) -> Floats:
        """The rank of the first relevant item, float64 ``(q,)``; NaN where R = 0."""
        first = np.full(len(self), np.nan)
        has = self.relevant > 0
        first[has] = self.values[self.offsets[:-1][has]]
        return first


@dataclass(frozen=True)
class Hits:
    """Relevant items found near the top, query after query; int64 ``(hits,)`` each.

    query: whose they are, 0..queries - 1; position: 1 for a query's first relevant item, 2 for its second, ...; rank.
    """

    query: Ints
    position: Ints
    rank: Ints
    queries: int

    def total(self, weights: Floats) -> Floats:
        """Return the sum of one weight a hit over each query, float64 ``(q,)``; 0 for a query without any.

        A query's terms are added in one and the same way, whatever other queries stand beside it, so that blocks of any
        size give the same bits.
        """
        return np.bincount(self.query, weights=weights, minlength=self.queries).astype(np.float64, copy=False)

    @property
    def count(self) -> Floats:
        """How many hits each query has, float64 ``(q,)``."""
        return np.bincount(self.query, minlength=self.queries).astype(np.float64)
