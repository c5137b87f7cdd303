"""Ranking by lists with kernels that know blocks of columns: the listed scores stand in front of their row.

A kernel takes the relevant columns of a row to be neighbours. Listed ones lie anywhere, so their scores are written in
front of the row, in the order of the list, and are -inf in their places; ties then fall as they do by label.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from bench.evaluation.ranking.arrays import Ints, Neighbors, Scores
from bench.evaluation.ranking.backend import TILE, Problem, RankedBlock, ranked_block, relevant_offsets, round_up
from bench.evaluation.ranking.kernel import count_block, nearest_columns
from bench.evaluation.ranking.lists import Lists
from bench.evaluation.ranking.relevance import Layout


def front_width(layout: Layout) -> int:
    """Return how many columns a buffer needs in front of the gallery's, in whole tiles; 0 where labels say it."""
    return 0 if layout.positives is None else round_up(int(layout.positives.sizes.max(initial=0)), TILE)


@dataclass(frozen=True)
class Front:
    """A block of queries with their listed scores in front.

    lists: the positives of all queries; rows: which queries; scores: float32 ``(queries, most + N)``, written to and
    left as it was; most: the length of the longest list among them.
    """

    lists: Lists
    rows: slice
    scores: Scores
    most: int

    @classmethod
    def of(cls, lists: Lists, rows: slice, buffer: Scores) -> Front:
        """Return the front of some queries. buffer: float32 ``(queries, front_width + N)``."""
        most = int(lists.sizes[rows].max(initial=0))
        columns = buffer.shape[1] - round_up(int(lists.sizes.max(initial=0)), TILE)
        return cls(lists, rows, buffer[:, buffer.shape[1] - columns - most :], most)

    @property
    def sizes(self) -> Ints:
        return self.lists.sizes[self.rows]

    def ranked(self, problem: Problem, layout: Layout) -> RankedBlock:
        """Rank the block. layout: the problem's, or the same with some columns left out, which score -inf."""
        self._bring()
        start = np.zeros_like(self.sizes)
        nearest, similarities = nearest_columns(self.scores, start, self.sizes, problem.keep)
        ranks = None
        if problem.full:
            ranks = count_block(self.scores, start, self.sizes, relevant_offsets(layout, self.rows))
        listed = listed_scores(self.lists, self.rows, self.scores)
        self._put_back()
        return ranked_block(layout, self.rows, self._columns(nearest), similarities, ranks, listed=listed)

    def _bring(self) -> None:
        """Write the listed scores in front, -inf behind the last and in their places; row by row, each in the cache."""
        for line, columns in self._lines():
            places = line[self.most :]
            line[: len(columns)] = places[columns]
            line[len(columns) : self.most] = -np.inf
            places[columns] = -np.inf

    def _put_back(self) -> None:
        for line, columns in self._lines():
            line[self.most :][columns] = line[: len(columns)]

    def _lines(self) -> Iterator[tuple[Scores, Neighbors]]:
        """Yield each query's row of scores and the columns on its list."""
        ends = self.lists.offsets[self.rows.start : self.rows.stop + 1].tolist()
        for line, (first, last) in zip(self.scores, pairwise(ends), strict=True):
            yield line, self.lists.columns[first:last]

    def _columns(self, nearest: Neighbors) -> Neighbors:
        """Return the gallery's columns of columns that are counted from the front on, -1 for none."""
        columns = np.where(nearest < self.most, -1, nearest - self.most)
        listed = (nearest >= 0) & (nearest < self.most)
        columns[listed] = listed_columns(self.lists, self.rows, nearest)[listed]
        return columns.astype(np.int32, copy=False)


def place_in_list(lists: Lists, rows: slice) -> Ints:
    """Return the place of each cell of a block of queries in its list, from 0, int64 ``(cells,)``."""
    offsets = lists.offsets[rows.start : rows.stop + 1]
    return np.arange(offsets[0], offsets[-1]) - np.repeat(offsets[:-1], np.diff(offsets))


def listed_scores(lists: Lists, rows: slice, scores: Scores) -> Scores | None:
    """Return the scores of a block's cells, float32 ``(cells,)``, of rows that begin with them; None without gains."""
    if lists.gains is None:
        return None
    sizes = lists.sizes[rows]
    found: Scores = scores[np.repeat(np.arange(len(sizes)), sizes), place_in_list(lists, rows)]
    return found


def listed_columns(lists: Lists, rows: slice, places: Neighbors) -> Neighbors:
    """Return what stands at places of each query's list; anything where the list is shorter, or a place is -1.

    places: int32 ``(queries, k)``.
    """
    cells = lists.offsets[rows.start : rows.stop, None] + places
    return lists.columns[np.clip(cells, 0, len(lists.columns) - 1)] if len(lists.columns) else np.full_like(places, -1)
