"""The usual way: the scores of a block of queries with the whole gallery in one buffer, counted where they lie."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bench.evaluation.arrays import Ints, Scores, Vectors
from bench.evaluation.columns import Columns
from bench.evaluation.kernel import count_block, nearest_columns
from bench.evaluation.layout import Layout
from bench.evaluation.rankers.block import TILE_ROWS, RankedBlock, ranked_block, relevant_offsets, round_up
from bench.evaluation.vectors import Rows

_BUFFER_SCORES = 16 << 20  # scores in the buffer: 64 MB of float32; smaller ones read the gallery too often
_PART_RANKS = 1 << 18  # ranks held at once, 2 MB an array: with one label, a buffer would give 8 million


def fitting_rows(columns: int) -> int:
    """Return how many queries fit in the buffer, in whole tiles, but at least one tile."""
    return max(TILE_ROWS, _BUFFER_SCORES // columns // TILE_ROWS * TILE_ROWS)


class WholeRows:
    """Ranks up to ``step`` queries at once.

    copies, originals: columns that equal another, and that other (``equal_rows``). keep: K. full: rank everything.
    """

    def __init__(
        self,
        queries: Rows,
        columns: Columns,
        layout: Layout,
        equal: tuple[Ints, Ints],
        *,
        step: int,
        keep: int,
        full: bool,
    ) -> None:
        self._queries, self._columns, self._layout, self._equal = queries, columns, layout, equal
        self._keep, self._full = keep, full
        self._buffer = np.empty((round_up(step, TILE_ROWS), columns.padded), dtype=np.float32)

    def ranked(self, rows: slice) -> Iterator[RankedBlock]:
        """Yield the block's queries, in parts whose ranks fit in a small memory."""
        layout = self._layout
        scores = self._scores(self._queries.take(rows))[:, : layout.columns]
        copies, originals = self._equal
        if len(copies):
            scores[:, copies] = scores[:, originals]
        scores[layout.excluded_of(rows)] = -np.inf
        for part in _parts(layout.relevant[rows] if self._full else np.full(rows.stop - rows.start, self._keep)):
            here = slice(rows.start + part.start, rows.start + part.stop)
            start, stop = layout.start[here], layout.stop[here]
            nearest, similarities = nearest_columns(scores[part], start, stop, self._keep)
            ranks = None
            if self._full:
                ranks = count_block(scores[part], start, stop, relevant_offsets(layout, here))
            yield ranked_block(layout, here, nearest, similarities, ranks)

    def _scores(self, rows: Vectors) -> Scores:
        """Return ``rows @ columns.T``, float32 ``(rows, N')``, written into the buffer."""
        tiled = np.zeros((round_up(len(rows), TILE_ROWS), rows.shape[1]), dtype=np.float32)
        tiled[: len(rows)] = rows
        for here, vectors in self._columns.chunks():
            np.matmul(tiled, vectors.T, out=self._buffer[: len(tiled), here])
        return self._buffer[: len(rows)]


def _parts(relevant: Ints) -> Iterator[slice]:
    """Cut a block of queries so that each part has at most about 260,000 relevant items, or one query."""
    first, held = 0, 0
    for row, size in enumerate(relevant.tolist()):
        if row > first and held + size > _PART_RANKS:
            yield slice(first, row)
            first, held = row, 0
        held += size
    yield slice(first, len(relevant))
