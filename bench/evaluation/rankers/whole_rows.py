"""The usual way: the scores of a block of queries with the whole gallery in one buffer, counted where they lie."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bench.evaluation.arrays import Ints, Scores, Vectors
from bench.evaluation.kernel import count_block, nearest_columns
from bench.evaluation.rankers.block import (
    TILE_ROWS,
    Problem,
    RankedBlock,
    ranked_block,
    relevant_offsets,
    round_up,
    tiled,
)

_BUFFER_SCORES = 16 << 20  # scores in the buffer: 64 MB of float32; smaller ones read the gallery too often
_PART_RANKS = 1 << 18  # ranks held at once, 2 MB an array: with one label, a buffer would give 8 million


def fitting_rows(columns: int) -> int:
    """Return how many queries fit in the buffer, in whole tiles, but at least one tile."""
    return max(TILE_ROWS, _BUFFER_SCORES // columns // TILE_ROWS * TILE_ROWS)


class WholeRows:
    """Ranks up to ``step`` queries at once."""

    def __init__(self, problem: Problem, step: int) -> None:
        self._problem = problem
        self._buffer = np.empty((round_up(step, TILE_ROWS), problem.columns.padded), dtype=np.float32)

    def ranked(self, rows: slice) -> Iterator[RankedBlock]:
        """Yield the block's queries, in parts whose ranks fit in a small memory."""
        one, layout = self._problem, self._problem.layout
        scores = self._scores(one.queries.take(rows))[:, : layout.columns]
        if len(one.copies):
            scores[:, one.copies] = scores[:, one.originals]
        scores[layout.excluded_of(rows)] = -np.inf
        for part in _parts(layout.relevant[rows] if one.full else np.full(rows.stop - rows.start, one.keep)):
            here = slice(rows.start + part.start, rows.start + part.stop)
            start, stop = layout.start[here], layout.stop[here]
            nearest, similarities = nearest_columns(scores[part], start, stop, one.keep)
            ranks = None
            if one.full:
                ranks = count_block(scores[part], start, stop, relevant_offsets(layout, here))
            yield ranked_block(layout, here, nearest, similarities, ranks)

    def _scores(self, rows: Vectors) -> Scores:
        """Return ``rows @ columns.T``, float32 ``(rows, N')``, written into the buffer."""
        padded = tiled(rows, TILE_ROWS)
        for here, vectors in self._problem.columns.chunks():
            np.matmul(padded, vectors.T, out=self._buffer[: len(padded), here])
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
