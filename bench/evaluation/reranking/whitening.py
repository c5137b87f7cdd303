"""Principal components: vectors rotated, cut to fewer dimensions, and whitened where asked."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bench.contract import DataError, UsageError
from bench.evaluation.ranking.arrays import Vectors
from bench.evaluation.reranking.embedded import Embedded, unit_or_zero

_RANK = 1e-6  # a spread below this share of the largest is rounding, not a direction


@dataclass(frozen=True)
class Projection:
    """``(x - mean) @ axes.T``, scaled to unit length: mean float32 ``(d,)``, axes float32 ``(k, d)``."""

    mean: Vectors
    axes: Vectors

    def __call__(self, vectors: Vectors) -> Vectors:
        """Return unit float32 ``(n, k)`` of float32 ``(n, d)``; the mean vector itself becomes zeros."""
        return unit_or_zero(np.matmul(vectors - self.mean, self.axes.T, dtype=np.float32))

    @property
    def stored_bytes(self) -> int:
        return int(self.mean.nbytes + self.axes.nbytes)


def fit_projection(vectors: Vectors, *, dims: int | None = None, whiten: bool = False) -> Projection:
    """Return the principal axes of vectors ``(n, d)``, centred, the largest variance first; no label is looked at.

    dims: how many to keep, by default all that the vectors span; whiten: give each variance 1. Raises DataError for
    more dims than there are, or, to whiten, than the vectors span. Source: Jegou and Chum, Negative evidences and
    co-occurrences in image retrieval: the benefit of PCA and whitening, ECCV 2012.
    """
    exact = vectors.astype(np.float64)
    mean = exact.mean(axis=0)
    variance, axes = np.linalg.eigh((exact - mean).T @ (exact - mean) / max(1, len(exact) - 1))
    spread, axes = np.sqrt(np.clip(variance[::-1], 0, None)), axes.T[::-1]
    spanned = int((spread > _RANK * spread[0]).sum())
    kept, most = spanned if dims is None else dims, spanned if whiten else len(mean)
    if not 1 <= kept <= most:
        raise DataError(f"{kept} principal components asked for, but {len(vectors)} vectors have {most} to give")
    chosen = axes[:kept] / spread[:kept, None] if whiten else axes[:kept]
    return Projection(mean.astype(np.float32), chosen.astype(np.float32))


@dataclass(frozen=True)
class Whiten:
    """``whiten``: PCA-whitening of query and gallery, fitted on training vectors and on nothing else.

    dims: components to keep, None for all. Raises UsageError where there are no training vectors.
    """

    dims: int | None = None

    def __call__(self, data: Embedded) -> Embedded:
        if data.train is None:
            raise UsageError("whiten is fitted on training vectors, and there are none")
        project = fit_projection(data.train, dims=self.dims, whiten=True)
        return replace(data, query=project(data.query), gallery=project(data.gallery), train=project(data.train))
