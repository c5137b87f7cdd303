"""The dense ranking on the CPU: a block of queries' scores with the whole gallery, as whole rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from bench.evaluation.ranking.arrays import Ints, Scores, Vectors
from bench.evaluation.ranking.backend import (
    TILE_ROWS,
    Problem,
    RankedBlock,
    ranked_block,
    relevant_offsets,
    round_up,
    tiled,
)
from bench.evaluation.ranking.fronts import Front, front_width
from bench.evaluation.ranking.kernel import count_block, nearest_columns
from bench.evaluation.ranking.relevance import Layout

_BUFFER_SCORES = 16 << 20  # scores in the buffer: 64 MB of float32; smaller ones read the gallery too often
_PART_RANKS = 1 << 18  # ranks held at once, 2 MB an array: with one label, a buffer would give 8 million


def fitting_rows(problem: Problem) -> int:
    """Return how many queries fit in the buffer, in whole tiles, but at least one tile."""
    width = front_width(problem.layout) + problem.columns.padded
    return max(TILE_ROWS, _BUFFER_SCORES // width // TILE_ROWS * TILE_ROWS)


class WholeRows:
    """Ranks up to ``step`` queries at once."""

    def __init__(self, problem: Problem, step: int) -> None:
        self._problem = problem
        self._front = front_width(problem.layout)
        width = self._front + problem.columns.padded
        self._buffer = np.empty((round_up(step, TILE_ROWS), width), dtype=np.float32)

    def ranked(self, rows: slice) -> Iterator[RankedBlock]:
        """Yield the block's queries, in parts whose ranks fit in a small memory."""
        yield from self._ranked(self.visible(rows), rows, self._problem.layout)

    def ranked_without(self, rows: slice, layouts: Sequence[Layout]) -> Iterator[tuple[int, RankedBlock]]:
        """Yield the block's queries as each layout has them, by its place; the scores are made once.

        layouts: the problem's own with some columns left out.
        """
        scores = self.visible(rows)
        for place, layout in enumerate(layouts):
            seen = scores[:, layout.left_out]
            scores[:, layout.left_out] = -np.inf
            for block in self._ranked(scores, rows, layout):
                yield place, block
            scores[:, layout.left_out] = seen

    def visible(self, rows: slice) -> Scores:
        """Return the scores of a block of queries, float32 ``(rows, N)``, -inf for what a query may not see."""
        one, layout = self._problem, self._problem.layout
        scores = self._scores(one.queries.take(rows))[:, : layout.columns]
        if len(one.copies):
            scores[:, one.copies] = scores[:, one.originals]
        scores[layout.excluded.rows(rows)] = -np.inf
        return scores

    def _ranked(self, scores: Scores, rows: slice, layout: Layout) -> Iterator[RankedBlock]:
        one = self._problem
        for part in _parts(layout.relevant[rows] if one.full else np.full(rows.stop - rows.start, one.keep)):
            here = slice(rows.start + part.start, rows.start + part.stop)
            if layout.positives is not None:
                front = Front.of(layout.positives, here, self._buffer[part, : self._front + layout.columns])
                yield front.ranked(one, layout)
                continue
            start, stop = layout.start[here], layout.stop[here]
            nearest, similarities = nearest_columns(scores[part], start, stop, one.keep)
            ranks = None
            if one.full:
                ranks = count_block(scores[part], start, stop, relevant_offsets(layout, here))
            yield ranked_block(layout, here, nearest, similarities, ranks)

    def _scores(self, rows: Vectors) -> Scores:
        """Return ``rows @ columns.T``, float32 ``(rows, N')``, written into the buffer."""
        padded = tiled(rows, TILE_ROWS)
        scores = self._buffer[: len(padded), self._front :]
        for here, vectors in self._problem.columns.chunks():
            np.matmul(padded, vectors.T, out=scores[:, here])
        return scores[: len(rows)]


def _parts(relevant: Ints) -> Iterator[slice]:
    """Cut a block of queries so that each part has at most about 260,000 relevant items, or one query."""
    first, held = 0, 0
    for row, size in enumerate(relevant.tolist()):
        if row > first and held + size > _PART_RANKS:
            yield slice(first, row)
            first, held = row, 0
        held += size
    yield slice(first, len(relevant))
