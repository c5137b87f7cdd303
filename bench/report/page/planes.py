"""Vectors in two dimensions, to be looked at: by principal components, or by UMAP. Neither goes into a score."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from bench.contract import UsageError
from bench.evaluation.arrays import Floats, Ints, Vectors

EXTRA = "pip install 'simbench-retrieval[umap]'"
_MOST_FITTED = 5_000  # vectors that a plane is fitted to
_NEIGHBORS = 15


@dataclass(frozen=True)
class Plane:
    """Some vectors in two dimensions, float64 ``(k, 2)``, and what the two directions are, in words."""

    points: Floats
    axes: str


PlaneOf: TypeAlias = Callable[[Vectors, Ints], Plane]  # all vectors, and the rows to show


def plane_by(name: str) -> PlaneOf:
    """Return what ``--map`` names, ``pca`` or ``umap``. Raises UsageError where UMAP's package is missing."""
    if name == "pca":
        return principal_plane
    try:
        found = importlib.import_module("umap")
    except ImportError as error:
        raise UsageError(f"--map umap needs the package umap-learn: {EXTRA}") from error
    return lambda vectors, rows: _neighbor_plane(found.UMAP, vectors, rows)


def principal_plane(vectors: Vectors, rows: Ints) -> Plane:
    """Return some vectors on the first two principal components of all, the sign of each fixed.

    vectors: float32 ``(n, d)``; rows: int64 ``(k,)``.
    """
    step = -(-len(vectors) // _MOST_FITTED)
    sample = vectors[::step].astype(np.float64)
    middle = sample.mean(axis=0)
    _, values, axes = np.linalg.svd(sample - middle, full_matrices=False)
    axes = axes[:2] * np.sign(axes[:2][np.arange(min(2, len(axes))), np.abs(axes[:2]).argmax(axis=1)])[:, None]
    points = (vectors[rows] - middle) @ axes.T
    if points.shape[1] < 2:  # vectors of one dimension
        points = np.column_stack([points, np.zeros(len(points))])
    spread = float(np.square(values).sum())
    kept = float(np.square(values[:2]).sum()) / spread if spread > 0 else 1.0
    return Plane(points, f"the first two principal components, which keep {kept:.0%} of the variance")


def _neighbor_plane(umap: Callable[..., Any], vectors: Vectors, rows: Ints) -> Plane:
    """Return some vectors as UMAP lays them out among up to 5,000 (McInnes, Healy and Melville, 2018), by seed."""
    step = -(-len(vectors) // _MOST_FITTED)
    fitted = np.unique(np.concatenate((np.arange(0, len(vectors), step), rows)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its one thread, which the seed asks for
        made = umap(n_neighbors=min(_NEIGHBORS, len(fitted) - 1), metric="cosine", random_state=0, n_jobs=1)
        laid: Floats = np.asarray(made.fit_transform(vectors[fitted]), dtype=np.float64)
    points = laid[np.searchsorted(fitted, rows)]
    return Plane(points, f"a UMAP of {len(fitted):,}: near ones are alike, distances between groups mean little")
