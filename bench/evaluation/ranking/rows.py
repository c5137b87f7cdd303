"""Vectors as the ranking sees them: float32, unit length where asked, made a block at a time from any source."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.contract import DataError, SimbenchError
from bench.evaluation.ranking.arrays import Floats, Ints, Real, Vectors
from bench.evaluation.sanity.collapse import refuse_bad_rows, row_norms


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
