"""Diffusion on the gallery's neighbour graph: similarity follows the manifold that the images lie on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from bench.contract import UsageError
from bench.evaluation.ranking.arrays import Floats, Ints, Scores, Vectors
from bench.evaluation.reranking.embedded import Embedded, Matrix, Shortlist, gallery_neighbors, weights

_CELLS = 4_000_000  # of a dense block, gallery x queries: 32 MB, and four of them


@dataclass(frozen=True)
class Diffuse:
    """``diffusion``: the similarity of a shortlist becomes the query's flow f on the graph, (I - alpha S) f = y.

    S: the gallery's mutual k nearest, weighted by similarity ** gamma, normalised by both ends' degrees. y: the query's
    own similarity ** gamma to its ``start`` first results. Conjugate gradients, all queries of a block at once, at most
    ``iterations`` of them (the paper's 20). Source: Iscen, Tolias, Avrithis, Furon and Chum, Efficient Diffusion on
    Region Manifolds, CVPR 2017. Where queries are gallery items, the graph holds their nodes too.
    """

    k: int = 50
    start: int = 10
    gamma: float = 3.0
    alpha: float = 0.99
    iterations: int = 20

    def __post_init__(self) -> None:
        if min(self.k, self.start, self.iterations) < 1 or not 0 <= self.alpha < 1 or self.gamma < 0:
            raise UsageError(
                "diffusion: k, start and iterations must be 1 or more, gamma 0 or more, alpha at least 0 and below 1, "
                f"got k={self.k}, start={self.start}, iterations={self.iterations}, gamma={self.gamma}, "
                f"alpha={self.alpha}"
            )

    def __call__(self, data: Embedded, found: Shortlist) -> Scores:
        """Return new similarities of the items found, float32 ``(q, s)``, -inf where there is no item."""
        flow = normalized_graph(data.gallery, data.gallery_ids, self.k, self.gamma)
        begin = weights(data.shortlist(self.start), len(data.gallery), self.gamma)
        scores = np.full(found.items.shape, -np.inf, dtype=np.float32)
        block = max(1, _CELLS // len(data.gallery))
        for first in range(0, len(scores), block):
            rows = slice(first, first + block)
            solved = solve(flow, begin[rows].toarray().T.astype(np.float64), self.alpha, self.iterations)
            there = found.items[rows] >= 0
            query = np.nonzero(there)[0]
            scores[rows][there] = solved[found.items[rows][there], query]
        return scores


def normalized_graph(gallery: Vectors, gallery_ids: Ints, k: int, gamma: float) -> Matrix:
    """Return S: mutual neighbours' similarity ** gamma over the root of both degrees, sparse float64 ``(N, N)``."""
    one_way = weights(gallery_neighbors(gallery, gallery_ids, k), len(gallery), gamma).astype(np.float64)
    mutual = one_way.minimum(one_way.T)
    degree = np.asarray(mutual.sum(axis=1)).ravel()
    scale = sparse.diags_array(np.where(degree > 0, degree, 1.0) ** -0.5)
    return (scale @ mutual @ scale).tocsr()


def solve(flow: Matrix, start: Floats, alpha: float, iterations: int, tolerance: float = 1e-6) -> Floats:
    """Return f of (I - alpha S) f = y for every column y of ``start`` ``(N, b)``, by conjugate gradients.

    A column stops once its residual is below ``tolerance`` of y; S is symmetric with eigenvalues in [-1, 1].
    """
    solution, residual = np.zeros_like(start), start.copy()
    direction, energy = residual.copy(), (residual**2).sum(axis=0)
    enough = tolerance**2 * energy
    for _ in range(iterations):
        going: NDArray[np.bool_] = energy > enough
        if not going.any():
            break
        changed = direction - alpha * (flow @ direction)
        step = np.where(going, energy / np.where(going, (direction * changed).sum(axis=0), 1.0), 0.0)
        solution += step * direction
        residual -= step * changed
        left = (residual**2).sum(axis=0)
        direction = residual + np.where(going, left / np.where(going, energy, 1.0), 0.0) * direction
        energy = np.where(going, left, energy)
    return solution
