"""What one evaluation ranks and scores, checked and laid out once. Every refusal is one line that says what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.contract import DataError
from bench.evaluation.ranking.arrays import Ints
from bench.evaluation.ranking.known import Known
from bench.evaluation.ranking.lists import Lists
from bench.evaluation.ranking.relevance import Layout
from bench.evaluation.ranking.vectors import Rows, as_vectors, check_vectors, lies_on, refuse_overflow

if TYPE_CHECKING:
    from bench.evaluation.ranking.given_lists import GainsLike, ListsLike
    from bench.evaluation.ranking.relevance import NamesLike
    from bench.evaluation.ranking.vectors import VectorsLike


@dataclass(frozen=True)
class RetrievalSet:
    """Query and gallery vectors, their labels and ids, and who is relevant to whom: by label, or by lists.

    ``RetrievalSet.of`` makes it from a caller's arrays. Evaluation, sanity checks, thresholds, index sweeps and
    re-ranking take it. No vector is copied: a memory-mapped gallery stays mapped.

    Attributes:
        query: q rows.
        gallery: N rows of the same dimension; the same object as ``query`` where one array was given for both.
        query_labels: Numbers of the labels, int64 ``(q,)``; the same number is the same label on both sides. All 0
            where lists say who is relevant: see ``labelled``.
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
            match = "do the labels match?" if self.labelled else "are the positives all ignored, or the query itself?"
            raise DataError(f"none of the {len(self.query)} queries has a relevant item in the gallery: {match}")

    @classmethod
    def of(
        cls,
        query: VectorsLike,
        query_labels: NamesLike | None,
        gallery: VectorsLike,
        gallery_labels: NamesLike | None,
        *,
        query_ids: NamesLike | None = None,
        gallery_ids: NamesLike | None = None,
        query_groups: NamesLike | None = None,
        gallery_groups: NamesLike | None = None,
        positives: ListsLike | None = None,
        gains: GainsLike | None = None,
        ignore: ListsLike | None = None,
        normalize: bool = True,
        train: VectorsLike | None = None,
        device: str = "cpu",
    ) -> RetrievalSet:
        """Check what a caller hands in and lay it out.

        Args are those of ``bench.evaluate``; the same array as ``query`` and ``gallery`` is checked once. train:
        ``(m, d)``, vectors of images that were trained on. Vectors are read through once, for the lengths of the rows.
        device: where tensors that lie there already are to stay.

        Raises:
            DataError: Vectors, labels, ids, groups or lists do not fit or cannot be ranked, or no query has anything
                relevant.
            UsageError: Ids or groups on one side only; both labels and positives, or neither; gains without any.
        """
        as_side: Callable[..., Any] = as_vectors
        if lies_on(device, query, gallery):
            from bench.evaluation.ranking.device_rows import as_tensor  # noqa: PLC0415 - torch takes seconds

            as_side = as_tensor
        sides = as_side(query, "query"), as_side(gallery, "gallery")
        learnt = None if train is None else as_vectors(train, "train")
        d = sides[0].shape[1]
        if sides[1].shape[1] != d:
            raise DataError(f"query vectors have {d} dimensions, gallery vectors {sides[1].shape[1]}")
        if learnt is not None and learnt.shape[1] != d:
            raise DataError(f"train vectors have {learnt.shape[1]} dimensions, query vectors {d}")
        known = Known.of(
            (len(sides[0]), len(sides[1])),
            labels=(query_labels, gallery_labels),
            ids=(query_ids, gallery_ids),
            groups=(query_groups, gallery_groups),
            positives=positives,
            gains=gains,
            ignore=ignore,
        )
        check = partial(_checked, normalize=normalize)
        queries = check(sides[0], "query vectors")
        items = queries if gallery is query else check(sides[1], "gallery vectors")
        trained = None if learnt is None else check(learnt, "train vectors")
        query_numbers, gallery_numbers = known.ids
        return cls(queries, items, *known.labels, known.layout(), query_numbers, gallery_numbers, trained)

    @property
    def labelled(self) -> bool:
        """Whether labels say who is relevant; else there are none to speak of."""
        return self.layout.positives is None

    def columns_of(self, items: Ints) -> Ints:
        """Return the layout's columns of gallery positions, -1 for -1, int64 of the same shape."""
        column = np.empty(self.layout.columns + 1, dtype=np.int64)
        column[self.layout.order], column[-1] = np.arange(self.layout.columns), -1
        return column[items]

    @cached_property
    def hidden(self) -> Lists:
        """The gallery positions that each query may not see."""
        return self._in_positions(self.layout.excluded)

    @cached_property
    def positives(self) -> Lists | None:
        """The gallery positions that lists say are relevant to each query, none of them hidden; None: labels say it."""
        return None if self.layout.positives is None else self._in_positions(self.layout.positives)

    def _in_positions(self, lists: Lists) -> Lists:
        return Lists.of(self.layout.order[lists.columns], lists.offsets, lists.gains)

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


def _checked(source: Any, what: str, *, normalize: bool) -> Rows:
    """Return what ``check_vectors`` does of an array, or the same of a tensor, which stays where it lies."""
    if isinstance(source, np.ndarray):
        return check_vectors(source, what, normalize=normalize)
    from bench.evaluation.ranking.device_rows import DeviceRows  # noqa: PLC0415 - torch takes seconds

    return DeviceRows.of(source, what, normalize=normalize)
