"""Which rows of a matrix are equal to an earlier one: their scores are made equal, whatever a BLAS kernel rounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from bench.evaluation.ranking.arrays import Ints, Vectors
from bench.evaluation.ranking.rows import Rows

_CHUNK = 8_192  # rows hashed at once: a few megabytes at usual dimensions


def equal_rows(n: int, take: Callable[[Ints | slice], Vectors]) -> tuple[Ints, Ints]:
    """Return which of n rows equal an earlier one, and which: (copies, originals), int64 each.

    take: gives chosen rows, float32 ``(k, d)``, the same whenever it is asked.
    Rows are told apart by a 64-bit hash of their bits, and those that share one are compared, so the answer is exact:
    equal rows have equal hashes (-0.0 counts as 0.0).
    """
    hashes = _hashes(n, take)
    order = np.argsort(hashes, kind="stable")
    starts = np.r_[True, hashes[order][1:] != hashes[order][:-1]] if len(order) else np.zeros(0, np.bool_)
    firsts = order[np.maximum.accumulate(np.where(starts, np.arange(len(order)), 0))] if len(order) else order
    copies, originals = order[~starts], firsts[~starts]
    same = np.empty(len(copies), np.bool_)
    for first in range(0, len(copies), _CHUNK):
        some = slice(first, first + _CHUNK)
        same[some] = (take(copies[some]) == take(originals[some])).all(axis=1)
    others = hashes[copies[~same]]
    if not len(others):
        return copies, originals
    # Rows that differ share a hash, as the signs of binary codes make likely: these few groups are compared in full.
    told = same & ~np.isin(hashes[copies], others)
    more = [pair for value in np.unique(others) for pair in _pairs_of(np.flatnonzero(hashes == value), take)]
    extra = np.array(more, np.int64).reshape(-1, 2)
    return np.r_[copies[told], extra[:, 0]], np.r_[originals[told], extra[:, 1]]


def _pairs_of(rows: Ints, take: Callable[[Ints | slice], Vectors]) -> list[tuple[int, int]]:
    """Return (copy, original) of every row that equals an earlier one of some, ascending."""
    first: dict[bytes, int] = {}
    pairs = []
    for row, vector in zip(rows.tolist(), take(rows) + np.float32(0.0), strict=True):
        original = first.setdefault(vector.tobytes(), row)
        if original != row:
            pairs.append((row, original))
    return pairs


def _hashes(n: int, take: Callable[[Ints | slice], Vectors]) -> Ints:
    """Return a hash of each row: its 32-bit words under random odd weights, modulo 2^64, int64 ``(n,)``."""
    found = np.empty(n, np.uint64)
    if n == 0:
        return found.view(np.int64)
    weights = np.random.default_rng(0).integers(0, 2**63, take(slice(0, 1)).shape[1], dtype=np.uint64) * np.uint64(2)
    weights += np.uint64(1)
    for first in range(0, n, _CHUNK):
        rows = take(slice(first, first + _CHUNK))
        words = (rows + np.float32(0.0)).view(np.uint32).astype(np.uint64)
        found[first : first + _CHUNK] = (words * weights).sum(axis=1)
    return found.view(np.int64)


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
