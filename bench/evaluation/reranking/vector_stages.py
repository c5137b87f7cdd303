"""Stages that give new vectors: alpha query expansion, database augmentation, PCA and whitening."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from bench.contract import UsageError
from bench.evaluation.ranking.arrays import Vectors
from bench.evaluation.reranking.embedded import Embedded, gallery_neighbors, unit_or_zero, weights
from bench.principal_components import fit_components


@dataclass(frozen=True)
class ExpandQueries:
    """``aqe``: a query becomes itself plus its n first results, each weighted by similarity ** alpha; then unit length.

    The query itself, where it is in the gallery, is not among its results. Source: Radenovic, Tolias and Chum,
    Fine-tuning CNN Image Retrieval with No Human Annotation, TPAMI 2018, section 3.3 (alpha 3); with alpha 0 it is the
    average query expansion of Chum et al., ICCV 2007.
    """

    n: int = 10
    alpha: float = 3.0

    def __post_init__(self) -> None:
        _check(self.n, self.alpha, "aqe")

    def __call__(self, data: Embedded) -> Embedded:
        found = data.shortlist(self.n)
        moved = data.query + weights(found, len(data.gallery), self.alpha) @ data.gallery
        return replace(data, query=unit_or_zero(moved))


@dataclass(frozen=True)
class AugmentDatabase:
    """``dba``: a gallery vector becomes itself plus its n nearest in the gallery, weighted likewise; then unit length.

    Queries stay as they are. Done once, before any query is known; but where queries are gallery items (protocol
    ``loo``), an item's neighbours may include the image that will be asked. Source: Turcot and Lowe, Better matching
    with fewer features, ICCV workshops 2009; weights as in alpha query expansion (Gordo et al., IJCV 2017).
    """

    n: int = 10
    alpha: float = 3.0

    def __post_init__(self) -> None:
        _check(self.n, self.alpha, "dba")

    def __call__(self, data: Embedded) -> Embedded:
        found = gallery_neighbors(data.gallery, data.gallery_ids, self.n)
        moved = data.gallery + weights(found, len(data.gallery), self.alpha) @ data.gallery
        return replace(data, gallery=unit_or_zero(moved))


def _check(n: int, alpha: float, name: str) -> None:
    if n < 1 or alpha < 0:
        raise UsageError(f"{name}: n must be 1 or more and alpha 0 or more, got n={n}, alpha={alpha}")


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
