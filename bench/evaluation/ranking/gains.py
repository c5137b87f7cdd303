"""Gains: how much each relevant item is worth to its query, where one answers more than another."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bench.evaluation.ranking.arrays import Floats, Ints, Scores
from bench.evaluation.ranking.lists import Lists, offsets_of


@dataclass(frozen=True)
class Gains:
    """The gains of each query's relevant items in the order of their ranks, query after query.

    values: float64 ``(sum of R,)``, above 0; offsets: int64 ``(q + 1,)``, where each query's begin; run: int64
    ``(sum of R,)``, one number for the items of a query that have one score, rising along the ranking.
    """

    values: Floats
    offsets: Ints
    run: Ints

    def of(self, query: Ints, position: Ints) -> Floats:
        """Return the gain of the item at a place, from 1, among the relevant items of a query; float64 ``(n,)``."""
        found: Floats = self.values[self.offsets[query] + position - 1]
        return found

    def ideal(self, k: int) -> Floats:
        """Return DCG@k where the items stand by falling gain, float64 ``(q,)``; 0 for a query without any."""
        query, terms = self._falling
        top = self._place <= k
        return np.bincount(query[top], weights=terms[top], minlength=len(self.offsets) - 1).astype(np.float64)

    @cached_property
    def _place(self) -> Ints:
        return np.arange(1, len(self.values) + 1) - np.repeat(self.offsets[:-1], np.diff(self.offsets))

    @cached_property
    def _falling(self) -> tuple[Ints, Floats]:
        """Each query's terms of the ideal DCG, best first, and whose they are."""
        query = np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))
        falling = self.values[np.lexsort((-self.values, query))]
        return query, falling / np.log2(self._place + 1.0)


def ordered_gains(lists: Lists, gains: Floats, rows: slice, scores: Scores) -> tuple[Gains, Gains]:
    """Return the gains of a block of queries by falling score: of equal ones the lower gain first, and the higher.

    gains: float64, of all cells of the lists; scores: float32 ``(cells,)``, of the block's; -inf is not ranked.
    """
    gains = gains[lists.offsets[rows.start] : lists.offsets[rows.stop]]
    seen = scores > -np.inf
    query, gains, scores = lists.rows(rows)[0][seen], gains[seen], scores[seen]
    offsets = offsets_of(np.bincount(query, minlength=rows.stop - rows.start))
    order = np.lexsort((gains, -scores, query))
    begins = np.zeros(len(order), dtype=np.bool_)
    begins[1:] = (np.diff(query[order]) != 0) | (scores[order][1:] != scores[order][:-1])
    run = np.cumsum(begins, dtype=np.int64)
    other_way = np.lexsort((-gains, -scores, query))
    return Gains(gains[order], offsets, run), Gains(gains[other_way], offsets, run)
