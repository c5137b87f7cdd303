"""What a caller says of who answers whom, as lists of gallery positions. Every refusal is one line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse

from bench.contract import DataError
from bench.evaluation.ranking.arrays import Ints, Names
from bench.evaluation.ranking.lists import Lists, offsets_of
from bench.evaluation.ranking.relevance import as_names, matches, number_names
from bench.evaluation.ranking.vectors import as_array

if TYPE_CHECKING:
    from scipy.sparse import sparray, spmatrix

    ListsLike: TypeAlias = Sequence[Iterable[int]] | Sequence[Iterable[str]] | NDArray[Any] | sparray | spmatrix


def as_lists(value: ListsLike, what: str, queries: int, gallery: Names | int) -> Lists:
    """Return lists of gallery positions, one a query.

    value: for each query gallery ids, or a boolean matrix ``(q, N)``, sparse or not, true for what is listed.
    what: its name in errors. gallery: the ids, ``(N,)``; or N: then the lists are of positions.
    """
    items = gallery if isinstance(gallery, int) else len(gallery)
    if hasattr(value, "dtype") and not issparse(value):
        value = as_array(value, floating=False)
        if value.shape == (queries, items) and value.dtype != np.bool_:
            raise DataError(f"{what} of shape {value.shape} must be boolean to be a matrix, got {value.dtype}")
    if issparse(value) or (isinstance(value, np.ndarray) and value.dtype == np.bool_ and value.ndim == 2):
        return _of_matrix(value, what, (queries, items))
    try:
        lists = [None if isinstance(one, str | bytes) else list(one) for one in value]
    except TypeError:
        raise DataError(f"{what} must hold a list for each query") from None
    if None in lists:
        raise DataError(f"{what} must hold a list for each query, got the text {value[lists.index(None)]!r}")
    if len(lists) != queries:
        raise DataError(f"{what} must hold a list for each of {queries} queries, got {len(lists)}")
    offsets = offsets_of(np.array([len(one) for one in lists if one is not None], dtype=np.int64))
    flat = [one for some in lists if some is not None for one in some]
    if not flat:
        return Lists.none(queries)
    names = as_names(flat, len(flat), what)
    if isinstance(gallery, int):
        return _of_positions(names, what, offsets, gallery)
    return _of_ids(names, what, offsets, gallery)


def several(labels: Any) -> bool:
    """Whether labels are several a picture: a boolean matrix ``(n, labels)``, sparse or not, or a list for each."""
    if labels is None or issparse(labels):
        return labels is not None
    if isinstance(labels, np.ndarray):
        return labels.ndim == 2 and labels.dtype == np.bool_
    return not hasattr(labels, "dtype") and len(labels) > 0 and isinstance(labels[0], list | tuple | set | frozenset)


def sharing(labels: tuple[Any, Any], sizes: tuple[int, int]) -> Lists:
    """Return the gallery items that share a label with each query. labels: of both sides, several a picture."""
    if not all(map(several, labels)):
        raise DataError("labels are several a picture on one side only; give both as lists or as boolean matrices")
    query, gallery = _label_matrices(labels)
    for side, matrix, n in (("query", query, sizes[0]), ("gallery", gallery, sizes[1])):
        if matrix.shape[0] != n:
            raise DataError(f"{n} {side} vectors, but {side} labels of {matrix.shape[0]} pictures")
    if query.shape[1] != gallery.shape[1]:
        raise DataError(f"query labels are {query.shape[1]} columns, gallery labels {gallery.shape[1]}")
    shared = query @ gallery.T
    return Lists.of(shared.indices, shared.indptr.astype(np.int64, copy=False))


def _label_matrices(labels: tuple[Any, Any]) -> tuple[Any, Any]:
    """Return both sides as sparse boolean matrices ``(n, labels)`` with the same columns, and no cell that is false."""
    matrices = [issparse(one) or isinstance(one, np.ndarray) for one in labels]
    if all(matrices):
        return tuple(csr_array(one != 0) for one in labels)
    if any(matrices):
        raise DataError("labels are a matrix on one side and lists on the other; give both in one form")
    lists = [[list(one) for one in side] for side in labels]
    names = [as_names(flat, len(flat), "labels") for flat in ([name for one in side for name in one] for side in lists)]
    numbers = number_names(names[0], names[1], "labels")
    width = int(max(side.max(initial=-1) for side in numbers)) + 1
    found = []
    for side, cells in zip(lists, numbers, strict=True):
        offsets = offsets_of(np.array([len(one) for one in side]))
        found.append(Lists.of(cells, offsets).matrix(width))
    return found[0], found[1]


def _of_matrix(value: Any, what: str, shape: tuple[int, int]) -> Lists:
    if value.shape != shape:
        raise DataError(f"{what} must be of shape {shape}, a row a query and a column an item, got {value.shape}")
    found = csr_array(value)
    if not (found.data != 0).all():
        found = found.copy()
        found.eliminate_zeros()
    return Lists.of(found.indices, found.indptr.astype(np.int64, copy=False))


def _of_positions(names: Names, what: str, offsets: Ints, items: int) -> Lists:
    if names.dtype.kind == "U":
        raise DataError(f"{what} must be gallery positions, as there are no gallery_ids; got {str(names[0])!r}")
    places = names.astype(np.int64, copy=False)
    beyond = np.flatnonzero((places < 0) | (places >= items))
    if len(beyond):
        cell = int(beyond[0])
        raise DataError(
            f"{what} of query {_owner(offsets, cell)}: {places[cell]} is no position in a gallery of {items}"
        )
    return Lists.of(places.astype(np.int32), offsets)


def _of_ids(names: Names, what: str, offsets: Ints, gallery: Names) -> Lists:
    asked, there = number_names(names, gallery, f"{what} and gallery ids")
    found = matches(asked, there)  # an id may stand for several items
    unknown = np.flatnonzero(found.sizes == 0)
    if len(unknown):
        cell = int(unknown[0])
        raise DataError(f"{what} of query {_owner(offsets, cell)}: {names[cell].item()!r} is no id of the gallery")
    return Lists.of(found.columns, found.offsets[offsets])


def _owner(offsets: Ints, cell: int) -> int:
    return int(np.searchsorted(offsets, cell, side="right")) - 1


def refuse_both(positives: Lists, ignored: Lists) -> None:
    """Raise DataError where an item is both positive and ignored to a query."""
    both = np.flatnonzero(positives.place(ignored.query, ignored.columns) >= 0)
    if len(both):
        row, item = int(ignored.query[both[0]]), int(ignored.columns[both[0]])
        raise DataError(f"query {row}: the gallery item at position {item} is both positive and ignored; choose one")
