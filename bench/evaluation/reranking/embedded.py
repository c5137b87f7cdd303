"""Query and gallery vectors as a search sees them, and the shortlists that searches give."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import faiss
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from bench.contract import DataError
from bench.evaluation.ranking.arrays import Ints, Scores, Vectors
from bench.evaluation.ranking.inputs import as_names, as_vectors, number_names
from bench.evaluation.ranking.rows import normalize_rows

if TYPE_CHECKING:
    from bench.evaluation.ranking.inputs import NamesLike, VectorsLike


@dataclass(frozen=True)
class Shortlist:
    """The gallery items that a search found for each query.

    items: int64 ``(q, s)`` gallery positions, best first, -1 where there are no more; similarities: float32 ``(q, s)``,
    larger is better, -inf where there are no more.
    """

    items: Ints
    similarities: Scores

    def reordered(self, similarities: Scores) -> Shortlist:
        """Return the same items by new similarities; equal ones keep their order."""
        order = np.argsort(-similarities, axis=1, kind="stable")
        return Shortlist(np.take_along_axis(self.items, order, 1), np.take_along_axis(similarities, order, 1))


@dataclass(frozen=True)
class Embedded:
    """What is searched: unit vectors, float32 ``(q, d)`` and ``(N, d)``, and the number of each image's id.

    query_ids, gallery_ids: int64; a gallery item with a query's id is the query itself and is never among its results.
    train: unit vectors of training images, float32 ``(m, d)``, for stages that are fitted; None where there are none.
    """

    query: Vectors
    gallery: Vectors
    query_ids: Ints
    gallery_ids: Ints
    train: Vectors | None = None

    @classmethod
    def of(
        cls,
        query: VectorsLike,
        gallery: VectorsLike,
        *,
        query_ids: NamesLike | None = None,
        gallery_ids: NamesLike | None = None,
        train: VectorsLike | None = None,
    ) -> Embedded:
        """Check and scale vectors of any real dtype; without ids on both sides no query is in the gallery.

        Raises DataError for vectors that are empty, not finite, all zero or of different dimensions, and for ids that
        do not fit.
        """
        unit = normalize_rows(as_vectors(query, "query"), "query vectors")
        others = unit if gallery is query else normalize_rows(as_vectors(gallery, "gallery"), "gallery vectors")
        if unit.shape[1] != others.shape[1]:
            raise DataError(f"query vectors have {unit.shape[1]} dimensions, gallery vectors {others.shape[1]}")
        if query_ids is None or gallery_ids is None:
            own, their = -1 - np.arange(len(unit), dtype=np.int64), np.arange(len(others), dtype=np.int64)
        else:
            names = as_names(query_ids, len(unit), "query ids"), as_names(gallery_ids, len(others), "gallery ids")
            own, their = number_names(*names, "ids")
        learnt = None if train is None else normalize_rows(as_vectors(train, "train"), "training vectors")
        return cls(unit, others, own, their, learnt)

    @cached_property
    def spare(self) -> int:
        """How many results more than wanted a search has to give, so that enough stay without the query itself."""
        ids, counts = np.unique(self.gallery_ids, return_counts=True)
        return int(counts[np.isin(ids, self.query_ids)].max(initial=0))

    def without_own(self, items: Ints, similarities: Scores, k: int) -> Shortlist:
        """Return the first k of what a search gave, less -1s and the items whose id is the query's."""
        gone = (items < 0) | (self.gallery_ids[items] == self.query_ids[:, None])
        order = np.argsort(gone, axis=1, kind="stable")[:, :k]
        gone = np.take_along_axis(gone, order, 1)
        return Shortlist(
            items=np.where(gone, -1, np.take_along_axis(items, order, 1)),
            similarities=np.where(gone, np.float32(-np.inf), np.take_along_axis(similarities, order, 1)),
        )

    def shortlist(self, k: int) -> Shortlist:
        """Return each query's k most similar items by exact search: every inner product is computed."""
        index = faiss.IndexFlatIP(self.gallery.shape[1])
        index.add(self.gallery)
        similarities, items = index.search(self.query, min(k + self.spare, len(self.gallery)))
        return self.without_own(items, similarities, k)


def unit_or_zero(vectors: Vectors) -> Vectors:
    """Return rows scaled to unit length, float32; a row of zeros stays one, and is like nothing."""
    length = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    scaled: Vectors = (vectors / np.where(length > 0, length, 1.0)).astype(np.float32)
    return scaled


Matrix: TypeAlias = Any  # scipy.sparse.csr_array, which has no type hints


def weights(found: Shortlist, columns: int, power: float) -> Matrix:
    """Return similarity ** power of every item found, sparse ``(q, columns)``; negative similarities weigh 0."""
    there = found.items >= 0
    row = np.nonzero(there)[0]
    value = np.clip(found.similarities[there], 0, None) ** power
    return _matrix(value, row, found.items[there], (len(found.items), columns))


def links(items: Ints, columns: int) -> Matrix:
    """Return 1 for every item listed, sparse int32 ``(len(items), columns)``; -1 is no item."""
    there = items >= 0
    row = np.nonzero(there)[0]
    return _matrix(np.ones(len(row), dtype=np.int32), row, items[there], (len(items), columns))


def gallery_neighbors(gallery: Vectors, gallery_ids: Ints, k: int) -> Shortlist:
    """Return the k items most similar to each gallery item, itself not among them."""
    return Embedded(gallery, gallery, gallery_ids, gallery_ids).shortlist(k)


def _matrix(value: NDArray[Any], row: Ints, column: Ints, shape: tuple[int, int]) -> Matrix:
    return sparse.csr_array((value, (row, column)), shape=shape)
