"""Who is relevant to whom: labels and ids as numbers, the gallery grouped by label, and what each query may not see.

Grouping makes the relevant items of a query neighbouring columns, so that a query needs two numbers and not a mask.
Where lists say who is relevant, each query has its own.
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
from bench.evaluation.ranking.lists import Lists, offsets_of
from bench.evaluation.ranking.vectors import as_array

if TYPE_CHECKING:
    from torch import Tensor

    NamesLike: TypeAlias = NDArray[Any] | Tensor | Sequence[int] | Sequence[str]


@dataclass(frozen=True)
class Layout:
    """The gallery's columns in the order that the ranking uses, and every query's view of them; int64.

    order: ``(N,)`` gallery positions by (label, id, position); labels: ``(N,)`` label numbers in that order.
    start, stop: ``(q,)`` the columns with the query's label are ``start:stop``; empty if there are none.
    excluded: the columns that a query may not see: those with its own id or group, and what it ignores.
    positives: where lists say who is relevant, each query's columns, none of them excluded; ``start:stop`` is empty
    then, and all labels are 0. None: labels say it.
    left_out: the columns that no query sees, ascending.
    """

    order: Ints
    labels: Ints
    start: Ints
    stop: Ints
    excluded: Lists
    positives: Lists | None = None
    left_out: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.start)

    @property
    def columns(self) -> int:
        return len(self.order)

    @cached_property
    def relevant(self) -> Ints:
        """R of every query, ``(q,)``: the relevant columns less those excluded and left out."""
        if self.positives is not None:
            seen = self.positives.sizes
            return seen - self.positives.counts(self._gone[self.positives.columns]) if len(self.left_out) else seen
        query, columns = self.excluded.query, self.excluded.columns
        inside = (columns >= self.start[query]) & (columns < self.stop[query]) & ~self._gone[columns]
        gone = np.searchsorted(self.left_out, self.stop) - np.searchsorted(self.left_out, self.start)
        return self.stop - self.start - gone - self.excluded.counts(inside)

    @cached_property
    def items(self) -> Ints:
        """N of every query, ``(q,)``: all columns less those excluded and left out."""
        return self.columns - len(self.left_out) - self.excluded.counts(~self._gone[self.excluded.columns])

    @cached_property
    def _gone(self) -> NDArray[np.bool_]:
        """Which columns are left out, ``(N,)``."""
        gone = np.zeros(self.columns, dtype=np.bool_)
        gone[self.left_out] = True
        return gone

    def without(self, items: NDArray[np.bool_]) -> Layout:
        """Return the layout of a gallery without some items. items: bool ``(N,)``, true for those, by position."""
        return replace(self, left_out=np.flatnonzero(items[self.order]))

    def is_relevant(self, rows: slice, columns: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Return which columns are relevant to a block of queries. columns: ``(queries, k)``, -1 for none."""
        if self.positives is None:
            relevant: NDArray[np.bool_] = (columns >= self.start[rows, None]) & (columns < self.stop[rows, None])
            return relevant
        query = np.repeat(np.arange(rows.start, rows.stop), columns.shape[1])
        return (self.positives.place(query, columns.ravel()) >= 0).reshape(columns.shape)

    def relevant_columns(self, rows: slice) -> NDArray[np.bool_]:
        """Return which of all columns are relevant to a block of queries, ``(queries, N)``, excluded ones too."""
        if self.positives is None:
            return self.is_relevant(rows, np.arange(self.columns)[None])
        relevant = np.zeros((rows.stop - rows.start, self.columns), dtype=np.bool_)
        relevant[self.positives.rows(rows)] = True
        return relevant

    def subset(self, queries: Ints) -> Layout:
        """Return the layout of some queries, int64 row numbers; the gallery's columns stay as they are."""
        return replace(
            self,
            start=self.start[queries],
            stop=self.stop[queries],
            excluded=self.excluded.subset(queries),
            positives=None if self.positives is None else self.positives.subset(queries),
        )


def build_layout(
    query_labels: Ints,
    gallery_labels: Ints,
    query_ids: Ints | None = None,
    gallery_ids: Ints | None = None,
    *,
    groups: tuple[Ints, Ints] | None = None,
    ignored: Lists | None = None,
    positives: Lists | None = None,
) -> Layout:
    """Group the gallery and find each query's columns.

    All arrays are int64 numbers of labels, ids or groups (the same number means the same one on both sides). Every
    gallery item with the query's id is excluded for it; without ids, nothing is. groups: an item with the query's label
    and group is excluded too; -1 is no group. ignored, positives: lists of gallery positions in place of columns;
    positives take the place of labels, which are 0 then.
    """
    by_label = (gallery_labels,) if gallery_ids is None else (gallery_ids, gallery_labels)
    order = np.lexsort(by_label).astype(np.int64, copy=False)  # stable: by label, then id, then position
    labels = gallery_labels[order]
    excluded = Lists.none(len(query_labels))
    if query_ids is not None and gallery_ids is not None:
        excluded = matches(query_ids, gallery_ids[order])
    if groups is not None:
        apart = int(max(query_labels.max(initial=0), gallery_labels.max(initial=0))) + 1
        asked, there = groups[0] * apart + query_labels, groups[1] * apart + gallery_labels
        excluded = excluded.joined(matches(np.where(groups[0] < 0, np.iinfo(np.int64).min, asked), there[order]))
    if ignored is not None:
        excluded = excluded.joined(_in_columns(ignored, order))
    listed = positives is not None
    return Layout(
        order=order,
        labels=labels,
        start=np.searchsorted(labels, query_labels, side="left").astype(np.int64),
        stop=np.searchsorted(labels, query_labels, side="left" if listed else "right").astype(np.int64),
        excluded=excluded,
        positives=_in_columns(positives, order).less(excluded) if positives is not None else None,
    )


def _in_columns(lists: Lists, order: Ints) -> Lists:
    """Return lists of gallery positions as lists of the columns that these positions stand in."""
    if np.array_equal(order, np.arange(len(order))):
        return lists
    column = np.empty(len(order), dtype=np.int32)
    column[order] = np.arange(len(order), dtype=np.int32)
    return Lists.of(column[lists.columns], lists.offsets, lists.gains)


def matches(query: Ints, items: Ints) -> Lists:
    """Return for each query's number the places of the items that have it. query: ``(q,)``, items: ``(N,)``, int64."""
    by_number = np.argsort(items, kind="stable")
    ordered = items[by_number]
    first = np.searchsorted(ordered, query, side="left")
    sizes = np.searchsorted(ordered, query, side="right") - first
    offsets = offsets_of(sizes)
    place = np.arange(offsets[-1]) + np.repeat(first - offsets[:-1], sizes)
    return Lists(by_number[place].astype(np.int32, copy=False), offsets)


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
