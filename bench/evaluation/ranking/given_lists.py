"""What a caller says of who answers whom, as lists of gallery positions. Every refusal is one line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse

from bench.contract import DataError
from bench.evaluation.ranking.arrays import Floats, Ints, Names
from bench.evaluation.ranking.lists import Lists, offsets_of
from bench.evaluation.ranking.relevance import as_names, matches, number_names
from bench.evaluation.ranking.vectors import as_array

if TYPE_CHECKING:
    from scipy.sparse import sparray, spmatrix

    ListsLike: TypeAlias = Sequence[Iterable[int]] | Sequence[Iterable[str]] | NDArray[Any] | sparray | spmatrix
    GainsLike: TypeAlias = Sequence[Iterable[float]] | NDArray[Any] | sparray | spmatrix


def as_lists(value: ListsLike, what: str, queries: int, gallery: Names | int, gains: GainsLike | None = None) -> Lists:
    """Return lists of gallery positions, one a query, without those whose gain is 0.

    value: for each query gallery ids, or a boolean matrix ``(q, N)``, sparse or not, true for what is listed.
    what: its name in errors. gallery: the ids, ``(N,)``; or N: then the lists are of positions. gains: for each query
    a number for each of its items, in their order; or a matrix ``(q, N)`` where the value is one.
    """
    items = gallery if isinstance(gallery, int) else len(gallery)
    if hasattr(value, "dtype") and not issparse(value):
        value = as_array(value, floating=False)
        if value.shape == (queries, items) and value.dtype != np.bool_:
            raise DataError(f"{what} of shape {value.shape} must be boolean to be a matrix, got {value.dtype}")
    if issparse(value) or (isinstance(value, np.ndarray) and value.dtype == np.bool_ and value.ndim == 2):
        return _with_gains(_of_matrix(value, what, (queries, items)), gains)
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
    worth = None if gains is None else _flat_gains(gains, offsets)
    if not flat:
        return Lists.none(queries)
    names = as_names(flat, len(flat), what)
    if isinstance(gallery, int):
        return _of_positions(names, what, offsets, gallery, worth)
    return _of_ids(names, what, offsets, gallery, worth)


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


def _with_gains(lists: Lists, gains: GainsLike | None) -> Lists:
    """Return lists of a matrix with the gains of another one. gains: ``(q, N)``."""
    if gains is None:
        return lists
    matrix: Any = gains if issparse(gains) else as_array(gains, floating=False)
    if getattr(matrix, "ndim", 0) != 2 or matrix.shape[0] != len(lists):
        raise DataError("gains must be a matrix, as positives are")
    if int(lists.columns.max(initial=-1)) >= matrix.shape[1]:
        raise DataError(f"gains must have a column an item, got shape {matrix.shape}")
    found = (csr_array(matrix) if issparse(matrix) else matrix)[lists.query, lists.columns]
    return _some_gain(lists, _as_gains(np.asarray(found).ravel(), lists.offsets))


def _flat_gains(gains: GainsLike, offsets: Ints) -> Floats:
    """Return one number for each item listed, float64. gains: for each query as many as it lists."""
    try:
        lists = [list(one) for one in gains]
    except TypeError:
        raise DataError("gains must hold a list of numbers for each query, as positives hold one of items") from None
    if len(lists) != len(offsets) - 1:
        raise DataError(f"gains must hold a list for each of {len(offsets) - 1} queries, got {len(lists)}")
    for row, (one, size) in enumerate(zip(lists, np.diff(offsets).tolist(), strict=True)):
        if len(one) != size:
            raise DataError(f"gains of query {row}: {len(one)} numbers for {size} positives")
    return _as_gains(np.array([number for one in lists for number in one]), offsets)


def _as_gains(numbers: NDArray[Any], offsets: Ints) -> Floats:
    if len(numbers) and numbers.dtype.kind not in "biuf":
        raise DataError(f"gains must be numbers, got {numbers.dtype}")
    gains = numbers.astype(np.float64)
    wrong = np.flatnonzero(~(np.isfinite(gains) & (gains >= 0)))
    if len(wrong):
        cell = int(wrong[0])
        raise DataError(f"gains of query {_owner(offsets, cell)}: {gains[cell]:g} is not a finite number of 0 or more")
    return gains


def _some_gain(lists: Lists, gains: Floats) -> Lists:
    return replace(lists, gains=gains).where(gains > 0)


def _listed(columns: NDArray[np.integer], what: str, offsets: Ints, gains: Floats | None) -> Lists:
    """Return lists, of their gains those above 0. Raises DataError where an item is there with two gains."""
    if gains is None:
        return Lists.of(columns.astype(np.int32, copy=False), offsets)
    query = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    order = np.lexsort((columns, query))
    query, items, gains = query[order], columns[order].astype(np.int32, copy=False), gains[order]
    again = np.zeros(len(order), dtype=np.bool_)
    again[1:] = (np.diff(query) == 0) & (np.diff(items) == 0)
    twice = np.flatnonzero(again)
    unlike = twice[gains[twice] != gains[twice - 1]]
    if len(unlike):
        cell = int(unlike[0])
        raise DataError(
            f"{what} of query {query[cell]}: the gallery item at position {items[cell]} is there with the gains "
            f"{gains[cell - 1]:g} and {gains[cell]:g}; give it one"
        )
    return Lists(items, offsets, gains).where(~again & (gains > 0))


def _of_positions(names: Names, what: str, offsets: Ints, items: int, gains: Floats | None) -> Lists:
    if names.dtype.kind == "U":
        raise DataError(f"{what} must be gallery positions, as there are no gallery_ids; got {str(names[0])!r}")
    places = names.astype(np.int64, copy=False)
    beyond = np.flatnonzero((places < 0) | (places >= items))
    if len(beyond):
        cell = int(beyond[0])
        raise DataError(
            f"{what} of query {_owner(offsets, cell)}: {places[cell]} is no position in a gallery of {items}"
        )
    return _listed(places, what, offsets, gains)


def _of_ids(names: Names, what: str, offsets: Ints, gallery: Names, gains: Floats | None) -> Lists:
    asked, there = number_names(names, gallery, f"{what} and gallery ids")
    found = matches(asked, there)  # an id may stand for several items
    unknown = np.flatnonzero(found.sizes == 0)
    if len(unknown):
        cell = int(unknown[0])
        raise DataError(f"{what} of query {_owner(offsets, cell)}: {names[cell].item()!r} is no id of the gallery")
    return _listed(found.columns, what, found.offsets[offsets], None if gains is None else gains.repeat(found.sizes))


def _owner(offsets: Ints, cell: int) -> int:
    return int(np.searchsorted(offsets, cell, side="right")) - 1


def refuse_both(positives: Lists, ignored: Lists) -> None:
    """Raise DataError where an item is both positive and ignored to a query."""
    both = np.flatnonzero(positives.place(ignored.query, ignored.columns) >= 0)
    if len(both):
        row, item = int(ignored.query[both[0]]), int(ignored.columns[both[0]])
        raise DataError(f"query {row}: the gallery item at position {item} is both positive and ignored; choose one")
