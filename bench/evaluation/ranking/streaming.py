"""A gallery too large to hold: read twice for hundreds of queries, and counted one window of columns at a time.

A relevant item's rank is its place among the relevant ones plus the number of other items that score at least as high,
and such numbers add up over windows. So a first reading finds the relevant scores (few products: a query meets only the
columns of its own label, or on somebody's list), and a second one counts all others against them. Reading the whole
gallery for every sixteen queries, as whole rows in a small buffer would, takes longer than the products.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np

from bench.evaluation.ranking.arrays import Ints, Neighbors, Scores, Vectors
from bench.evaluation.ranking.backend import (
    TILE,
    TILE_ROWS,
    Problem,
    RankedBlock,
    ranked_block,
    relevant_offsets,
    round_up,
    tiled,
)
from bench.evaluation.ranking.fronts import listed_columns, listed_scores, place_in_list
from bench.evaluation.ranking.kernel import count_block, nearest_columns
from bench.evaluation.ranking.lists import Lists
from bench.evaluation.ranking.relevance import Layout

Top: TypeAlias = tuple[Neighbors, Scores]

_BUFFER_SCORES = 32 << 20  # scores in the buffer: 128 MB of float32
_BLOCK_RANKS = 4 << 20  # ranks of a block of queries, 32 MB an array
_WINDOW_VALUES = 64 << 20  # numbers of the gallery in a window: 256 MB
_LEAST_WINDOW = 1 << 15  # columns
_WINDOW_RELEVANT = 8  # times as many columns as relevant items: these are sorted anew for each window


def window_rows(problem: Problem) -> int:
    """Return how many queries can be ranked in one reading, in whole tiles; 0 if memory does not allow any."""
    most = _most_relevant(problem)
    width = _width(most)
    if width * problem.columns.gallery.dimension > _WINDOW_VALUES:
        return 0
    room = _BUFFER_SCORES // (most + width + len(np.unique(problem.originals)))
    return min(room, _BLOCK_RANKS // max(1, most)) // TILE_ROWS * TILE_ROWS


class Windows:
    """Ranks hundreds of queries in two readings of the gallery, one if only the top is asked for."""

    def __init__(self, problem: Problem) -> None:
        self._queries, self._columns, self._layout = problem.queries, problem.columns, problem.layout
        self._keep, self._full, self._lists = problem.keep, problem.full, problem.layout.positives
        self._most = _most_relevant(problem)
        self._originals, group = np.unique(problem.originals, return_inverse=True)
        alike = np.concatenate((problem.copies, self._originals))  # every column that equals another, and which
        order = np.argsort(alike)
        self._alike = alike[order]
        self._group = np.concatenate((group.ravel(), np.arange(len(self._originals))))[order]

    def ranked(self, rows: slice) -> Iterator[RankedBlock]:
        """Yield the whole block at once."""
        layout, vectors = self._layout, self._queries.take(rows)
        shared = self._shared_scores(vectors)
        width = _width(self._most)
        buffer = np.empty((round_up(len(vectors), TILE_ROWS), self._most + width), dtype=np.float32)
        relevant = buffer[: len(vectors), : self._most]
        if self._lists is not None:
            self._find_listed(self._lists, vectors, rows, shared, relevant)
        elif self._full:
            self._find_relevant(vectors, rows, shared, relevant)
        offsets = relevant_offsets(layout, rows)
        place = np.arange(1, offsets[-1] + 1) - np.repeat(offsets[:-1], np.diff(offsets))
        worst, best = place.copy(), place.copy()
        top = (
            np.full((len(vectors), self._keep), -1, dtype=np.int32),
            np.full((len(vectors), self._keep), np.nan, dtype=np.float32),
        )
        sizes = _sizes(layout)[rows]
        if self._lists is not None and self._most:
            top = self._nearest_listed(self._lists, top, relevant, rows)
        for columns, scores in self._windows(vectors, rows, shared, buffer[:, self._most :]):
            top = self._merge_window(top, scores, rows, columns, relevant)
            if self._full:
                both = buffer[: len(vectors), : self._most + scores.shape[1]]
                above = count_block(both, np.zeros_like(sizes), sizes, offsets)
                worst += above[0] - place
                best += above[1] - place
        listed = None if self._lists is None else listed_scores(self._lists, rows, relevant)
        yield ranked_block(layout, rows, *top, (worst, best) if self._full else None, listed=listed)

    def _shared_scores(self, vectors: Vectors) -> Scores:
        """Return the scores of the columns that others equal, float32 ``(queries, originals)``."""
        if not len(self._originals):
            return np.empty((len(vectors), 0), dtype=np.float32)
        return _product(vectors, self._columns.take(self._originals))

    def _share(self, scores: Scores, columns: slice, shared: Scores) -> None:
        """Give equal columns one score."""
        here = slice(*np.searchsorted(self._alike, (columns.start, columns.stop)))
        scores[:, self._alike[here] - columns.start] = shared[:, self._group[here]]

    def _find_relevant(self, vectors: Vectors, rows: slice, shared: Scores, relevant: Scores) -> None:
        """Fill in each query's scores with the columns of its own label, -inf where excluded and after the last."""
        relevant[:] = -np.inf
        for window, chunk in self._columns.windows(_width(self._most)):
            overlaps = _overlaps(self._layout, rows, window)
            if not overlaps:
                continue
            asked = [row for row, _, _ in overlaps]
            scores = _product(vectors[asked], chunk)
            self._share(scores, window, shared[asked])
            for line, (row, there, here) in zip(scores, overlaps, strict=True):
                relevant[row, there] = line[here]
        asker, column = self._layout.excluded.rows(rows)
        start = self._layout.start[rows][asker]
        own = (column >= start) & (column < self._layout.stop[rows][asker])
        relevant[asker[own], (column - start)[own]] = -np.inf

    def _windows(self, vectors: Vectors, rows: slice, shared: Scores, out: Scores) -> Iterator[tuple[slice, Scores]]:
        """Yield windows of columns and the queries' scores with them, -inf where excluded, written into ``out``."""
        row, column = self._layout.excluded.rows(rows)
        for columns, chunk in self._columns.windows(_width(self._most)):
            scores = _product(vectors, chunk, out)
            self._share(scores, columns, shared)
            here = (column >= columns.start) & (column < columns.stop)
            scores[row[here], column[here] - columns.start] = -np.inf
            yield columns, scores

    def _find_listed(self, lists: Lists, vectors: Vectors, rows: slice, shared: Scores, relevant: Scores) -> None:
        """Fill in each query's scores with the columns on its list, -inf after the last."""
        relevant[:] = -np.inf
        row, column = lists.rows(rows)
        place, asked = place_in_list(lists, rows), np.unique(column)
        for window, chunk in self._columns.windows(_width(self._most)):
            some = asked[slice(*np.searchsorted(asked, (window.start, window.stop)))]
            if not len(some):
                continue
            scores = _product(vectors, chunk[some - window.start])
            alike = np.isin(some, self._alike)
            scores[:, alike] = shared[:, self._group[np.searchsorted(self._alike, some[alike])]]
            here = (column >= window.start) & (column < window.stop)
            relevant[row[here], place[here]] = scores[row[here], np.searchsorted(some, column[here])]

    def _nearest_listed(self, lists: Lists, top: Top, relevant: Scores, rows: slice) -> Top:
        """Return the K nearest of those on the lists; windows have them no more."""
        sizes = lists.sizes[rows]
        places, similarities = nearest_columns(relevant, np.zeros_like(sizes), sizes, min(self._keep, self._most))
        found = np.where(places >= 0, listed_columns(lists, rows, places), -1)
        return self._best(top, (found, similarities), rows)

    def _merge_window(self, top: Top, scores: Scores, rows: slice, columns: slice, relevant: Scores) -> Top:
        """Return the K nearest of those found before and of a window, whose relevant scores are -inf afterwards."""
        if self._lists is not None:
            query, listed = self._lists.rows(rows)
            inside = (listed >= columns.start) & (listed < columns.stop)
            scores[query[inside], listed[inside] - columns.start] = -np.inf
            return self._merge(top, scores, rows, columns)
        overlaps = _overlaps(self._layout, rows, columns) if self._full else []
        for row, there, here in overlaps:  # an item has one score, however it was multiplied
            scores[row, here] = relevant[row, there]
        top = self._merge(top, scores, rows, columns)
        for row, _, here in overlaps:
            scores[row, here] = -np.inf
        return top

    def _merge(self, top: Top, scores: Scores, rows: slice, columns: slice) -> Top:
        start, stop = self._layout.start[rows], self._layout.stop[rows]
        first, last = (np.clip(end, columns.start, columns.stop) - columns.start for end in (start, stop))
        found, similarities = nearest_columns(scores, first, last, min(self._keep, scores.shape[1]))
        return self._best(top, (np.where(found >= 0, found + columns.start, -1), similarities), rows)

    def _best(self, top: Top, others: Top, rows: slice) -> Top:
        """Return the K nearest of both in the order of ``nearest_columns``: columns int32, similarities, ``(q, K)``."""
        both, values = (np.concatenate(pair, axis=1) for pair in zip(top, others, strict=True))
        relevant = self._layout.is_relevant(rows, both)
        order = np.lexsort((both, relevant, -values), axis=1)[:, : self._keep]  # NaN, where there is none, comes last
        return (
            np.take_along_axis(both, order, axis=1).astype(np.int32, copy=False),
            np.take_along_axis(values, order, axis=1),
        )


def _sizes(layout: Layout) -> Ints:
    """Return how many relevant columns each query has, excluded ones of its label among them, int64 ``(q,)``."""
    return layout.stop - layout.start if layout.positives is None else layout.positives.sizes


def _most_relevant(problem: Problem) -> int:
    """Return how many scores are found in a first reading; by label, the top alone needs none."""
    needed = problem.full or problem.layout.positives is not None
    return int(_sizes(problem.layout).max(initial=0)) if needed else 0


def _width(most_relevant: int) -> int:
    return round_up(max(_LEAST_WINDOW, _WINDOW_RELEVANT * most_relevant), TILE)


def _overlaps(layout: Layout, rows: slice, columns: slice) -> list[tuple[int, slice, slice]]:
    """Return which rows have columns of their label here: the row, where among its own, and where in the window."""
    start, stop = layout.start[rows], layout.stop[rows]
    low, high = np.maximum(start, columns.start), np.minimum(stop, columns.stop)
    return [
        (
            int(row),
            slice(int(low[row] - start[row]), int(high[row] - start[row])),
            slice(int(low[row] - columns.start), int(high[row] - columns.start)),
        )
        for row in np.flatnonzero(low < high)
    ]


def _product(rows: Vectors, columns: Vectors, out: Scores | None = None) -> Scores:
    """Return ``rows @ columns.T``, float32, multiplied in whole tiles, in the upper left of ``out`` if given."""
    full_rows, full_columns = tiled(rows, TILE_ROWS), tiled(columns, TILE)
    if out is None:
        out = np.empty((len(full_rows), len(full_columns)), dtype=np.float32)
    np.matmul(full_rows, full_columns.T, out=out[: len(full_rows), : len(full_columns)])
    return out[: len(rows), : len(columns)]
