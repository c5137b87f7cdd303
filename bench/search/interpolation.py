"""Ways through the space of embeddings: class means, and the straightest line between two vectors on the sphere."""

from __future__ import annotations

import numpy as np

from bench.contract import DataError, UsageError
from bench.evaluation.ranking.arrays import Ints, Vectors
from bench.evaluation.ranking.vectors import normalize_rows

_OPPOSITE = 1e-3  # radians from pi below which there is no one shortest way


def class_means(vectors: Vectors, labels: Ints) -> tuple[Ints, Vectors]:
    """Return the labels that occur, ascending, and the mean vector of each, brought to unit length.

    vectors: unit float32 ``(n, d)``; labels: int64 ``(n,)``. Result: int64 ``(c,)`` and float32 ``(c, d)``. Summed in
    float64. Raises DataError where a class's vectors cancel out.
    """
    found, place = np.unique(labels, return_inverse=True)
    sums = np.zeros((len(found), vectors.shape[1]))
    np.add.at(sums, place, vectors)
    return found, normalize_rows(sums, "the mean vectors of the classes")


def spherical_walk(first: Vectors, last: Vectors, steps: int) -> Vectors:
    """Return unit vectors at even angles from one to another, both included, float32 ``(steps, d)``.

    first, last: unit float32 ``(d,)``. sin((1 - t) w) / sin(w) first + sin(t w) / sin(w) last, with w the angle between
    them (Shoemake 1985, "Animating Rotation with Quaternion Curves"). Raises UsageError for fewer than two steps, and
    DataError for opposite vectors, between which no way is the shortest.
    """
    if steps < 2:
        raise UsageError(f"a walk has 2 steps or more, got {steps}")
    a, b = first.astype(np.float64), last.astype(np.float64)
    angle = 2 * np.arctan2(np.linalg.norm(a - b), np.linalg.norm(a + b))  # exact for small angles too, unlike arccos
    if angle > np.pi - _OPPOSITE:
        raise DataError("the two vectors are opposite: no way between them is the shortest")
    share = np.linspace(0, 1, steps)[:, None]
    if angle < 1e-6:  # the formula's limit
        return normalize_rows((1 - share) * a + share * b, "the walk")
    return normalize_rows((np.sin((1 - share) * angle) * a + np.sin(share * angle) * b) / np.sin(angle), "the walk")
