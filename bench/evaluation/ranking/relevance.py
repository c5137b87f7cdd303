"""Who is relevant to whom: labels and ids as numbers, the gallery grouped by label, and what each query may not see.

Grouping makes the relevant items of a query neighbouring columns, so that a query needs two numbers and not a mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.contract import DataError
from bench.evaluation.ranking.arrays import Ints, Names
from bench.evaluation.ranking.vectors import as_array

if TYPE_CHECKING:
    from torch import Tensor

    NamesLike: TypeAlias = NDArray[Any] | Tensor | Sequence[int] | Sequence[str]


@dataclass(frozen=True)
class Layout:
    """The gallery's columns in the order that the ranking uses, and every query's view of them; all int64.

    order: ``(N,)`` gallery positions by (label, id, position); labels: ``(N,)`` label numbers in that order.
    start, stop: ``(q,)`` the columns with the query's label are ``start:stop``; empty if there are none.
    excluded_columns: the columns with the query's own id, ascending, query after query;
    excluded_offsets: ``(q + 1,)`` where each query's begin.
    left_out: the columns that no query sees, ascending.
    """

    order: Ints
    labels: Ints
    start: Ints
    stop: Ints
    excluded_columns: Ints
    excluded_offsets: Ints
    left_out: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.start)

    @property
    def columns(self) -> int:
        return len(self.order)

    @cached_property
    def relevant(self) -> Ints:
        """R of every query, ``(q,)``: columns with its label less those excluded and left out."""
        query, columns = self._only_excluded
        inside = (columns >= self.start[query]) & (columns < self.stop[query])
        gone = np.searchsorted(self.left_out, self.stop) - np.searchsorted(self.left_out, self.start)
        return self.stop - self.start - gone - np.bincount(query[inside], minlength=len(self))

    @cached_property
    def items(self) -> Ints:
        """N of every query, ``(q,)``: all columns less those excluded and left out."""
        query, _ = self._only_excluded
        return self.columns - len(self.left_out) - np.bincount(query, minlength=len(self))

    @cached_property
    def _only_excluded(self) -> tuple[Ints, Ints]:
        """The excluded cells that are not left out anyhow: queries and columns."""
        query = np.repeat(np.arange(len(self)), np.diff(self.excluded_offsets))
        apart = ~np.isin(self.excluded_columns, self.left_out)
        return query[apart], self.excluded_columns[apart]

    def without(self, items: NDArray[np.bool_]) -> Layout:
        """Return the layout of a gallery without some items. items: bool ``(N,)``, true for those, by position."""
        return replace(self, left_out=np.flatnonzero(items[self.order]))

    def excluded_of(self, rows: slice) -> tuple[Ints, Ints]:
        """Return the excluded cells of a block of queries: row numbers within the block, and columns."""
        offsets = self.excluded_offsets[rows.start : rows.stop + 1]
        row = np.repeat(np.arange(len(offsets) - 1, dtype=np.int64), np.diff(offsets))
        return row, self.excluded_columns[offsets[0] : offsets[-1]]

    def subset(self, queries: Ints) -> Layout:
        """Return the layout of some queries, int64 row numbers; the gallery's columns stay as they are."""
        sizes = np.diff(self.excluded_offsets)[queries]
        offsets = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
        place = np.arange(offsets[-1]) + np.repeat(self.excluded_offsets[queries] - offsets[:-1], sizes)
        return replace(
            self,
            start=self.start[queries],
            stop=self.stop[queries],
            excluded_columns=self.excluded_columns[place],
            excluded_offsets=offsets,
        )


def build_layout(
    query_labels: Ints, gallery_labels: Ints, query_ids: Ints | None = None, gallery_ids: Ints | None = None
) -> Layout:
    """Group the gallery and find each query's columns.

    All arguments are int64 numbers of labels and of ids (the same number means the same label or id on both sides).
    Every gallery item with the query's id is excluded for it; without ids, nothing is.
    """
    by_label = (gallery_labels,) if gallery_ids is None else (gallery_ids, gallery_labels)
    order = np.lexsort(by_label).astype(np.int64, copy=False)  # stable: by label, then id, then position
    labels = gallery_labels[order]
    if query_ids is None or gallery_ids is None:
        columns, offsets = np.empty(0, dtype=np.int64), np.zeros(len(query_labels) + 1, dtype=np.int64)
    else:
        columns, offsets = _matches(query_ids, gallery_ids[order])
    return Layout(
        order=order,
        labels=labels,
        start=np.searchsorted(labels, query_labels, side="left").astype(np.int64),
        stop=np.searchsorted(labels, query_labels, side="right").astype(np.int64),
        excluded_columns=columns,
        excluded_offsets=offsets,
    )


def _matches(query_ids: Ints, column_ids: Ints) -> tuple[Ints, Ints]:
    """Return the columns with each query's id, ascending, query after query, and where each query's begin."""
    by_id = np.argsort(column_ids, kind="stable")
    sorted_ids = column_ids[by_id]
    first = np.searchsorted(sorted_ids, query_ids, side="left")
    sizes = np.searchsorted(sorted_ids, query_ids, side="right") - first
    offsets = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
    place = np.arange(offsets[-1]) + np.repeat(first - offsets[:-1], sizes)
    return by_id[place].astype(np.int64, copy=False), offsets


def as_names(value: NamesLike, n: int, what: str) -> Names:
    """Return ``n`` labels or ids as int64 or text ``(n,)``. Floats are refused: above 16,777,216 they merge labels."""
    array = as_array(value, floating=False)
    if array.dtype.kind in "OT":  # pandas keeps text as objects
        array = _from_objects(array)
    if array.shape != (n,):
        raise DataError(f"{n} {what.split(maxsplit=1)[0]} vectors, but {what} have shape {array.shape}")
    if array.dtype.kind == "U":
        return array
    if array.dtype.kind not in "iu":
        raise DataError(f"{what} must be whole numbers or text, got {array.dtype}")
    if array.dtype.kind == "u" and array.max(initial=0) > np.iinfo(np.int64).max:
        raise DataError(f"{what} must fit int64, got {array.max()}")
    return array.astype(np.int64, copy=False)


def number_names(query: Names, gallery: Names, what: str) -> tuple[Ints, Ints]:
    """Return both sides as int64 numbers in sorted order of the names; equal names have equal numbers."""
    if query.dtype.kind != gallery.dtype.kind:
        raise DataError(
            f"{what} must be of one kind, got {query.dtype} in the query and {gallery.dtype} in the gallery"
        )
    _, number = np.unique(np.concatenate((query, gallery)), return_inverse=True)
    number = number.astype(np.int64, copy=False)
    return number[: len(query)], number[len(query) :]


def _from_objects(array: NDArray[Any]) -> NDArray[Any]:
    values = array.tolist()
    if all(isinstance(value, str) for value in values):
        return array.astype(np.str_)
    if all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        with suppress(OverflowError):
            return array.astype(np.int64)
    return array
