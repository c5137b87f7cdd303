"""The ranks of the relevant items of many queries, as one flat array: all that a ranking metric needs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bench.contract import DataError
from bench.evaluation.arrays import Floats, Ints


@dataclass(frozen=True)
class Ranks:
    """Ranks of the relevant items, query after query (compressed rows).

    values: int64 ``(sum of R,)``, 1-based, ascending within a query, best first.
    offsets: int64 ``(q + 1,)``; the ranks of query i are ``values[offsets[i]:offsets[i + 1]]``.
    items: int64 ``(q,)``, N: how many items were ranked for the query.
    """

    values: Ints
    offsets: Ints
    items: Ints

    def __post_init__(self) -> None:
        if len(self.offsets) != len(self.items) + 1 or int(self.offsets[-1]) != len(self.values):
            raise DataError(
                f"{len(self.values)} ranks of {len(self.items)} queries do not fit offsets of length "
                f"{len(self.offsets)} that end at {int(self.offsets[-1])}"
            )

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def relevant(self) -> Ints:
        """R of every query, int64 ``(q,)``."""
        return np.diff(self.offsets)

    @cached_property
    def query(self) -> Ints:
        """The query that each rank belongs to, int64 like ``values``."""
        return np.repeat(np.arange(len(self), dtype=np.int64), self.relevant)

    @cached_property
    def position(self) -> Ints:
        """The place of each relevant item among the relevant items of its query: 1, 2, ..., R."""
        return np.arange(1, len(self.values) + 1, dtype=np.int64) - np.repeat(self.offsets[:-1], self.relevant)

    @cached_property
    def _found(self) -> dict[int, Ints]:
        """Answers of ``within`` by cutoff: five metrics ask for each."""
        return {}

    def within(self, cutoff: int | Ints) -> Ints:
        """Return where in ``values`` the rank is at most ``cutoff``, which is one number or one number a query."""
        if not isinstance(cutoff, int):
            return np.flatnonzero(self.values <= np.repeat(cutoff, self.relevant))
        if cutoff not in self._found:
            self._found[cutoff] = np.flatnonzero(self.values <= cutoff)
        return self._found[cutoff]

    def total(self, weights: Floats, where: Ints | None = None) -> Floats:
        """Return the sum of ``weights`` over each query's ranks, float64 ``(q,)``; 0 for a query without any.

        where: the places in ``values`` that ``weights`` belong to, None for all. A query's terms are added in one and
        the same way, whatever other queries stand beside it, so that blocks of any size give the same bits.
        """
        if where is not None:
            return np.bincount(self.query[where], weights=weights, minlength=len(self)).astype(np.float64, copy=False)
        sums = np.zeros(len(self))
        has = self.relevant > 0
        if has.any():
            sums[has] = np.add.reduceat(weights, self.offsets[:-1][has])
        return sums

    def count(self, where: Ints) -> Floats:
        """Return how many of the given places belong to each query, float64 ``(q,)``."""
        return np.bincount(self.query[where], minlength=len(self)).astype(np.float64)


def ranks_of(lists: list[list[int]], items: list[int]) -> Ranks:
    """Return ranks from one plain list a query: for examples and tests."""
    sizes = [len(ranks) for ranks in lists]
    return Ranks(
        values=np.array([rank for ranks in lists for rank in ranks], dtype=np.int64),
        offsets=np.concatenate(([0], np.cumsum(sizes))).astype(np.int64),
        items=np.array(items, dtype=np.int64),
    )
