"""The gallery as the ranking multiplies it: float32 columns in the layout's order, held in memory or made as needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bench.evaluation.arrays import Ints, Vectors
from bench.evaluation.vectors import Rows

TILE = 64  # matrix products work in small tiles: zero rows fill the last one (see ranking)
_HELD_BYTES = 1 << 30  # a larger gallery stays where it is, and is read once for each block of queries
_CHUNK_VALUES = 4 << 20  # numbers made at a time: 16 MB


@dataclass(frozen=True)
class Columns:
    """gallery: N rows in the caller's order; order: int64 ``(N,)``, which of them stands in each column."""

    gallery: Rows
    order: Ints
    held: Vectors | None

    def __len__(self) -> int:
        return len(self.order)

    @property
    def padded(self) -> int:
        """The number of columns with those that fill the last tile."""
        return -(-len(self.order) // TILE) * TILE

    def take(self, columns: Ints | slice) -> Vectors:
        """Return chosen columns as rows, float32 ``(k, d)``."""
        if self.held is not None:
            chosen: Vectors = self.held[: len(self)][columns]
            return chosen
        return self.gallery.take(self.order[columns])

    def windows(self, width: int) -> Iterator[tuple[slice, Vectors]]:
        """Yield ``width`` consecutive columns after another and their vectors as rows; the last ones may be fewer."""
        for first in range(0, len(self), width):
            columns = slice(first, min(first + width, len(self)))
            yield columns, self.take(columns)

    def chunks(self) -> Iterator[tuple[slice, Vectors]]:
        """Yield consecutive columns and their vectors as rows, whole tiles; all at once if they are held."""
        if self.held is not None:
            yield slice(0, self.padded), self.held
            return
        for columns in _steps(self.padded, self.gallery.dimension):
            rows = np.zeros((columns.stop - columns.start, self.gallery.dimension), dtype=np.float32)
            chosen = self.order[columns]
            rows[: len(chosen)] = self.gallery.take(chosen)
            yield columns, rows


def grouped_columns(gallery: Rows, order: Ints) -> Columns:
    """Return the gallery's columns; they are held if they take no more than 1 GB."""
    made = Columns(gallery, order, None)
    if made.padded * gallery.dimension * 4 > _HELD_BYTES:
        return made
    held = np.empty((made.padded, gallery.dimension), dtype=np.float32)
    for columns, rows in made.chunks():
        held[columns] = rows
    return Columns(gallery, order, held)


def _steps(columns: int, dimension: int) -> Iterator[slice]:
    step = max(TILE, _CHUNK_VALUES // max(1, dimension) // TILE * TILE)
    for first in range(0, columns, step):
        yield slice(first, min(first + step, columns))
