"""Vectors as the ranking sees them: float32, unit length where asked, made a block at a time from any source."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.contract import DataError, SimbenchError
from bench.evaluation.ranking.arrays import Floats, Ints, Real, Vectors

_BLOCK_VALUES = 1 << 20  # float64 copies are made of this many values at a time: 8 MB


@dataclass(frozen=True)
class Rows:
    """Checked vectors whose float32 rows are made when they are asked for, so that a memory map stays on the disk.

    source: ``(n, d)`` array or memory map of a real dtype. norms: float64 ``(n,)``, all finite and above 0.
    normalize: whether ``take`` divides by them.
    """

    source: Real
    norms: Floats
    normalize: bool

    def __len__(self) -> int:
        return len(self.source)

    @property
    def dimension(self) -> int:
        return int(self.source.shape[1])

    def take(self, index: Ints | slice) -> Vectors:
        """Return the chosen rows, float32 ``(k, d)``; each row depends on nothing but itself."""
        rows: Vectors = np.asarray(self.source[index]).astype(np.float32, copy=False)
        if not self.normalize:
            return rows
        scaled = np.empty(rows.shape, dtype=np.float32)
        # divided in float64 and rounded once; NumPy casts through a small buffer, so no float64 copy is made
        np.divide(rows, self.norms[index][:, None], out=scaled, casting="same_kind")
        return scaled


def check_vectors(source: Real, what: str, *, normalize: bool, error: type[SimbenchError] = DataError) -> Rows:
    """Return the vectors as rows to rank. Raises if one is not finite or all zero, naming how many and the first."""
    norms = row_norms(source)
    refuse_bad_rows(norms, what, error)
    return Rows(source, norms, normalize)


def normalize_rows(source: Real, what: str, error: type[SimbenchError] = DataError) -> Vectors:
    """Return the vectors L2-normalised, float32 ``(n, d)``. Raises like ``check_vectors``."""
    return check_vectors(source, what, normalize=True, error=error).take(slice(None))


def refuse_overflow(query: Rows, gallery: Rows) -> None:
    """Raise DataError where an inner product could exceed float32 (it is at most the product of the two lengths)."""
    if query.normalize and gallery.normalize:
        return
    largest = float(query.norms.max()) * float(gallery.norms.max())
    if largest > float(np.finfo(np.float32).max):
        raise DataError(f"similarities could reach {largest:.2g}, which float32 cannot hold; use normalize=True")


def row_norms(vectors: Real) -> Floats:
    """Return the Euclidean length of every row, float64 ``(n,)``, computed in float64 a few rows at a time.

    vectors: ``(n, d)`` of any real dtype; values beyond the range of float32 count as infinite, as they would be in
    the ranking.
    """
    step = max(1, _BLOCK_VALUES // max(1, vectors.shape[1]))
    norms = np.empty(len(vectors), dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        for first in range(0, len(vectors), step):
            rows = np.asarray(vectors[first : first + step]).astype(np.float32, copy=False).astype(np.float64)
            norms[first : first + step] = np.sqrt(np.square(rows).sum(axis=1))
    return norms


def refuse_bad_rows(norms: Floats, what: str, error: type[SimbenchError] = DataError) -> None:
    """Raise if any row is not a number, infinite, or all zero; the message counts them and names the first.

    norms: float64 ``(n,)`` from ``row_norms``: a length is finite and above 0 exactly when its row is usable.
    """
    for wrong, word in ((~np.isfinite(norms), "not finite"), (norms == 0, "all zero")):
        if wrong.any():
            first = int(np.argmax(wrong))
            raise error(f"{what}: {int(wrong.sum())} of {len(norms)} rows are {word}, the first is row {first}")
