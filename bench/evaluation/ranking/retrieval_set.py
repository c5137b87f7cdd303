"""What one evaluation ranks and scores, checked and laid out once. Every refusal is one line that says what to do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np

from bench.contract import DataError, UsageError
from bench.evaluation.ranking.arrays import Ints, Real
from bench.evaluation.ranking.relevance import Layout, as_names, build_layout, number_names
from bench.evaluation.ranking.vectors import Rows, as_vectors, check_vectors, refuse_overflow

if TYPE_CHECKING:
    from bench.evaluation.ranking.relevance import NamesLike
    from bench.evaluation.ranking.vectors import VectorsLike


@dataclass(frozen=True)
class RetrievalSet:
    """Query and gallery vectors, their labels and ids, and who is relevant to whom.

    ``RetrievalSet.of`` makes it from a caller's arrays. Evaluation, sanity checks, thresholds, index sweeps and
    re-ranking take it. No vector is copied: a memory-mapped gallery stays mapped.

    Attributes:
        query: q rows.
        gallery: N rows of the same dimension; the same object as ``query`` where one array was given for both.
        query_labels: Numbers of the labels, int64 ``(q,)``; the same number is the same label on both sides.
        gallery_labels: The gallery's, int64 ``(N,)``.
        layout: The gallery grouped by label, each query's relevant items, and those excluded for it.
        query_ids: Numbers of the ids, int64 ``(q,)``, or None: then nothing is excluded.
        gallery_ids: The gallery's, int64 ``(N,)``; an item with a query's id is excluded for that query.
        train: Rows of images that were trained on, where they are known.

    Raises:
        DataError: No query has anything relevant, or similarities could exceed float32.
    """

    query: Rows
    gallery: Rows
    query_labels: Ints
    gallery_labels: Ints
    layout: Layout
    query_ids: Ints | None = None
    gallery_ids: Ints | None = None
    train: Rows | None = None

    def __post_init__(self) -> None:
        if (len(self.query), len(self.gallery)) != (len(self.layout), self.layout.columns):
            raise DataError(
                f"{len(self.query)} query and {len(self.gallery)} gallery vectors do not fit a layout of "
                f"{len(self.layout)} queries and {self.layout.columns} items"
            )
        refuse_overflow(self.query, self.gallery)
        if not self.layout.relevant.any():
            raise DataError(
                f"none of the {len(self.query)} queries has a relevant item in the gallery: do the labels match?"
            )

    @classmethod
    def of(
        cls,
        query: VectorsLike,
        query_labels: NamesLike,
        gallery: VectorsLike,
        gallery_labels: NamesLike,
        *,
        query_ids: NamesLike | None = None,
        gallery_ids: NamesLike | None = None,
        normalize: bool = True,
        train: VectorsLike | None = None,
    ) -> RetrievalSet:
        """Check what a caller hands in and lay it out.

        Args are those of ``bench.evaluate``; the same array as ``query`` and ``gallery`` is checked once. train:
        ``(m, d)``, vectors of images that were trained on. Vectors are read through once, for the lengths of the rows.

        Raises:
            DataError: Vectors, labels or ids do not fit or cannot be ranked, or no query has anything relevant.
            UsageError: Ids on one side only.
        """
        sides = as_vectors(query, "query"), as_vectors(gallery, "gallery")
        learnt = None if train is None else as_vectors(train, "train")
        d = sides[0].shape[1]
        if sides[1].shape[1] != d:
            raise DataError(f"query vectors have {d} dimensions, gallery vectors {sides[1].shape[1]}")
        if learnt is not None and learnt.shape[1] != d:
            raise DataError(f"train vectors have {learnt.shape[1]} dimensions, query vectors {d}")
        check = partial(check_vectors, normalize=normalize)
        queries = check(sides[0], "query vectors")
        items = queries if gallery is query else check(sides[1], "gallery vectors")
        labels = _numbers(query_labels, gallery_labels, sides, "labels")
        ids = _numbers_of_ids(query_ids, gallery_ids, sides)
        trained = None if learnt is None else check(learnt, "train vectors")
        layout = build_layout(*labels, *ids)
        return cls(queries, items, labels[0], labels[1], layout, query_ids=ids[0], gallery_ids=ids[1], train=trained)

    @cached_property
    def unit(self) -> RetrievalSet:
        """The same with every row scaled to unit length."""
        query = replace(self.query, normalize=True)
        gallery = query if self.gallery is self.query else replace(self.gallery, normalize=True)
        train = None if self.train is None else replace(self.train, normalize=True)
        return replace(self, query=query, gallery=gallery, train=train)

    @cached_property
    def images(self) -> tuple[Ints, Ints]:
        """Equal numbers where two rows are one image, int64 ``(q,)`` and ``(N,)``: the ids, or one number a row."""
        if self.query_ids is not None and self.gallery_ids is not None:
            return self.query_ids, self.gallery_ids
        every = np.arange(len(self.query) + len(self.gallery), dtype=np.int64)
        return every[: len(self.query)], every[len(self.query) :]

    def with_query(self, query: VectorsLike) -> RetrievalSet:
        """Return the same queries as other vectors, ``(q, d)``, against the same gallery; all else is shared."""
        array = as_vectors(query, "query")
        if array.shape[1] != self.gallery.dimension:
            raise DataError(f"query vectors have {array.shape[1]} dimensions, gallery vectors {self.gallery.dimension}")
        return replace(self, query=check_vectors(array, "query vectors", normalize=self.query.normalize))


def _numbers(query: NamesLike, gallery: NamesLike, sides: tuple[Real, Real], what: str) -> tuple[Ints, Ints]:
    """Return labels or ids of both sides, one a row, as numbers that are equal where the names are."""
    names = as_names(query, len(sides[0]), f"query {what}"), as_names(gallery, len(sides[1]), f"gallery {what}")
    return number_names(*names, what)


def _numbers_of_ids(
    query: NamesLike | None, gallery: NamesLike | None, sides: tuple[Real, Real]
) -> tuple[Ints, Ints] | tuple[None, None]:
    if query is not None and gallery is not None:
        return _numbers(query, gallery, sides, "ids")
    if query is None and gallery is None:
        return None, None
    given, missing = ("gallery", "query") if query is None else ("query", "gallery")
    raise UsageError(f"{given}_ids given without {missing}_ids: give both, so that self-matches can be excluded")
