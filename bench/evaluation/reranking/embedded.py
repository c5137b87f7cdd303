"""Query and gallery vectors as a search sees them, and the shortlists that searches give."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import faiss
import numpy as np
from scipy import sparse

from bench.evaluation.ranking.arrays import Ints, Scores, Vectors
from bench.evaluation.ranking.lists import Lists
from bench.evaluation.ranking.ranks import Ranks
from bench.evaluation.ranking.retrieval_set import RetrievalSet


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
    hidden: the gallery positions that are never among a query's results; None: those with its id.
    """

    query: Vectors
    gallery: Vectors
    query_ids: Ints
    gallery_ids: Ints
    train: Vectors | None = None
    hidden: Lists | None = None

    @classmethod
    def of(cls, data: RetrievalSet) -> Embedded:
        """Make all of a set's vectors, of unit length whatever the set's are; one array where query and gallery are."""
        unit, every = data.unit, slice(None)
        query = unit.query.take(every)
        gallery = query if unit.gallery is unit.query else unit.gallery.take(every)
        train = None if unit.train is None else unit.train.take(every)
        return cls(query, gallery, *unit.images, train, data.hidden)

    @cached_property
    def spare(self) -> int:
        """How many results more than wanted a search has to give, so that enough stay without those hidden."""
        if self.hidden is not None:
            return int(self.hidden.sizes.max(initial=0))
        ids, counts = np.unique(self.gallery_ids, return_counts=True)
        return int(counts[np.isin(ids, self.query_ids)].max(initial=0))

    def without_own(self, items: Ints, similarities: Scores, k: int) -> Shortlist:
        """Return the first k of what a search gave, less -1s and the items that are hidden from the query."""
        if self.hidden is None:
            own = self.gallery_ids[items] == self.query_ids[:, None]
        else:
            query = np.repeat(np.arange(len(items)), items.shape[1])
            own = (self.hidden.place(query, items.ravel()) >= 0).reshape(items.shape)
        gone = (items < 0) | own
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


def shortlist_ranks(found: Shortlist, data: RetrievalSet, k: int) -> Ranks:
    """Return the ranks up to k of the relevant items that were found.

    Among equal similarities the items that are not relevant stand first, as everywhere; items that were not found
    count as not relevant, and the denominator of map@k stays min(k, R).
    """
    relevant = data.layout.is_relevant(slice(0, len(data.query)), data.columns_of(found.items))
    order = np.lexsort((relevant, -found.similarities), axis=1)[:, :k]
    row, column = np.nonzero(np.take_along_axis(relevant, order, 1))
    hits = np.bincount(row, minlength=len(relevant))
    return Ranks(
        values=(column + 1).astype(np.int64),
        offsets=np.concatenate(([0], np.cumsum(hits))).astype(np.int64),
        items=data.layout.items,
        relevant_in_all=data.layout.relevant,
        depth=k,
    )


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
    return sparse.csr_array((value, (row, found.items[there])), shape=(len(found.items), columns))


def links(items: Ints, columns: int) -> Matrix:
    """Return 1 for every item listed, sparse int32 ``(len(items), columns)``; -1 is no item."""
    there = items >= 0
    row = np.nonzero(there)[0]
    return sparse.csr_array((np.ones(len(row), dtype=np.int32), (row, items[there])), shape=(len(items), columns))


def gallery_neighbors(gallery: Vectors, gallery_ids: Ints, k: int) -> Shortlist:
    """Return the k items most similar to each gallery item, itself not among them."""
    return Embedded(gallery, gallery, gallery_ids, gallery_ids).shortlist(k)
