"""Vectors on their principal components: cut to fewer dimensions, and whitened where asked."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from bench.contract import UsageError
from bench.evaluation.ranking.arrays import Vectors
from bench.evaluation.reranking.embedded import Embedded, unit_or_zero
from bench.principal_components import fit_components


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
    """Return the projection of vectors ``(n, d)`` on their first ``dims`` components, by default all that they span.

    Raises UsageError for more than there are, or, to whiten, than the vectors span (see `fit_components`).
    """
    fitted = fit_components(torch.from_numpy(vectors), dims=dims, whiten=whiten, null=dims is not None and not whiten)
    state = fitted.state()
    return Projection(state["mean"].numpy(), state["axes"].contiguous().numpy())


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
