"""k-reciprocal encoding: two images are alike if they have the same mutual neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from bench.contract import UsageError
from bench.evaluation.ranking.arrays import Floats, Ints, Scores, Vectors
from bench.evaluation.reranking.embedded import Embedded, Matrix, Shortlist, gallery_neighbors, links

_PAIRS = 65_536  # whose vectors are gathered at once: 32 MB a side at 128 dimensions


@dataclass(frozen=True)
class KReciprocal:
    """``k-reciprocal``: the similarity of a shortlist becomes -((1 - weight) * Jaccard distance + weight * distance).

    The distance is Euclidean, of unit vectors. The Jaccard distance compares the two images' encodings: weights
    exp(-distance) on their k1-reciprocal neighbours, expanded by those neighbours' own k1/2-reciprocal ones, averaged
    over the k2 nearest. As published, the neighbours are looked for among gallery and queries together: hand in one
    query at a time where queries must not see each other. Source: Zhong, Zheng, Cao and Li, Re-ranking Person
    Re-identification with k-reciprocal Encoding, CVPR 2017.
    """

    k1: int = 20
    k2: int = 6
    weight: float = 0.3

    def __post_init__(self) -> None:
        if self.k1 < 1 or self.k2 < 1 or not 0 <= self.weight <= 1:
            raise UsageError(
                "k-reciprocal: k1 and k2 must be 1 or more and weight within 0..1, "
                f"got k1={self.k1}, k2={self.k2}, weight={self.weight}"
            )

    def __call__(self, data: Embedded, found: Shortlist) -> Scores:
        """Return new similarities of the items found, float32 ``(q, s)``, -inf where there is no item."""
        vectors, nodes = _together(data)
        codes = encode(vectors, self.k1, self.k2)
        scores = np.full(found.items.shape, -np.inf, dtype=np.float32)
        for row, items in enumerate(found.items):
            there = items >= 0
            distance = _distances(vectors[items[there]], vectors[nodes[row]][None])
            jaccard = _jaccard(codes, int(nodes[row]), items[there])
            scores[row, there] = -((1 - self.weight) * jaccard + self.weight * distance)
        return scores


def encode(vectors: Vectors, k1: int, k2: int) -> Matrix:
    """Return every image's weights on its mutual neighbours, sparse float64 ``(n, n)``; each row sums to 1."""
    n = len(vectors)
    near = gallery_neighbors(vectors, np.arange(n, dtype=np.int64), max(k1, k2)).items
    wide, narrow = _reciprocal(near[:, :k1]), _reciprocal(near[:, : max(1, round(k1 / 2))])
    shared = (wide @ narrow.T).multiply(wide).tocsr()  # for q in R(p, k1): how much of R(q, k1/2) lies in R(p, k1)
    size = np.asarray(narrow.sum(axis=1)).ravel()
    shared.data = (3 * shared.data >= 2 * size[shared.indices]).astype(np.int32)
    row, column = (wide + shared @ narrow).nonzero()
    value = np.exp(
        -np.concatenate(
            [
                _distances(vectors[row[start : start + _PAIRS]], vectors[column[start : start + _PAIRS]])
                for start in range(0, len(row), _PAIRS)
            ]
        )
    )
    code = sparse.csr_array((value / np.bincount(row, weights=value, minlength=n)[row], (row, column)), shape=(n, n))
    mean = links(near[:, : k2 - 1], n) + sparse.eye_array(n, format="csr")  # an image is its own nearest
    return (sparse.diags_array(1 / np.asarray(mean.sum(axis=1)).ravel()) @ mean @ code).tocsr()


def _reciprocal(near: Ints) -> Matrix:
    """Return 1 where each of two images is among the other's nearest, and for every image with itself."""
    linked = links(near, len(near))
    return (linked.multiply(linked.T) + sparse.eye_array(len(near), dtype=np.int32, format="csr")).tocsr()


def _jaccard(codes: Matrix, node: int, items: Ints) -> Floats:
    """Return 1 - sum of minima / sum of maxima of the node's weights and each item's; both sum to 1."""
    own = np.zeros(codes.shape[1])
    begin, end = codes.indptr[node], codes.indptr[node + 1]
    own[codes.indices[begin:end]] = codes.data[begin:end]
    theirs = codes[items]
    smaller = np.minimum(theirs.data, own[theirs.indices])
    row = np.repeat(np.arange(len(items)), np.diff(theirs.indptr))
    overlap = np.bincount(row, weights=smaller, minlength=len(items))
    return np.asarray(1 - overlap / (2 - overlap), dtype=np.float64)


def _together(data: Embedded) -> tuple[Vectors, Ints]:
    """Return gallery and queries as one array, and each query's row in it.

    A query that is in the gallery, by id and vector, is not added a second time.
    """
    by_id = np.argsort(data.gallery_ids, kind="stable")
    place = np.searchsorted(data.gallery_ids[by_id], data.query_ids)
    own = by_id[np.minimum(place, len(by_id) - 1)]
    same = (data.gallery_ids[own] == data.query_ids) & (data.gallery[own] == data.query).all(axis=1)
    nodes = np.where(same, own, len(data.gallery) + np.cumsum(~same) - 1).astype(np.int64)
    return np.concatenate((data.gallery, data.query[~same])), nodes


def _distances(one: Vectors, other: Vectors) -> Floats:
    return np.asarray(np.linalg.norm(one.astype(np.float64) - other, axis=1), dtype=np.float64)
