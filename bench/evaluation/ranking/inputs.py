"""What a caller hands in, checked: vectors, labels, ids, cutoffs. Every refusal is one line that says what to do."""

from __future__ import annotations

import operator
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.contract import DataError, UsageError
from bench.environment import processors
from bench.evaluation.ranking.arrays import Ints, Names, Real

if TYPE_CHECKING:
    from torch import Tensor

    VectorsLike: TypeAlias = NDArray[Any] | Tensor | Sequence[Sequence[float]]
    NamesLike: TypeAlias = NDArray[Any] | Tensor | Sequence[int] | Sequence[str]

_MOST_THREADS = 8  # each has a buffer of 64 to 128 MB


def as_vectors(value: VectorsLike, what: str) -> Real:
    """Return vectors as a two-dimensional array of real numbers, with at least one row and one column.

    A memory map or array is returned as it is; a torch tensor is brought to the CPU as float32.
    """
    array = _from_torch(value, floating=True)
    if array.ndim != 2:
        raise DataError(f"{what} vectors must have shape (n, d), got {array.shape}")
    if array.dtype.kind not in "fiu":
        raise DataError(f"{what} vectors must be real numbers, got {array.dtype}")
    if len(array) == 0:
        raise DataError(f"the {what} is empty: there is nothing to rank")
    if array.shape[1] == 0:
        raise DataError(f"{what} vectors have no dimension: shape {array.shape}")
    return array


def as_names(value: NamesLike, n: int, what: str) -> Names:
    """Return ``n`` labels or ids as int64 or text ``(n,)``. Floats are refused: above 16,777,216 they merge labels."""
    array = _from_torch(value, floating=False)
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


def number_sides(query: NamesLike, gallery: NamesLike | None, sizes: tuple[int, int], what: str) -> tuple[Ints, Ints]:
    """Return labels or ids of both sides, so many of each, as numbers that are equal where the names are."""
    if gallery is None:
        raise DataError(f"query {what} without gallery {what}")
    names = as_names(query, sizes[0], f"query {what}"), as_names(gallery, sizes[1], f"gallery {what}")
    return number_names(*names, what)


def check_ks(ks: Iterable[int]) -> tuple[int, ...]:
    """Return the cutoffs, ascending and each once. Raises UsageError unless they are whole numbers above 0."""
    checked = set()
    for k in ks:
        if isinstance(k, bool):
            raise UsageError(f"every k must be a whole number above 0, got {k!r}")
        try:
            checked.add(operator.index(k))
        except TypeError:
            raise UsageError(f"every k must be a whole number above 0, got {k!r}") from None
    if not checked or min(checked) < 1:
        raise UsageError(f"every k must be a whole number above 0, got {sorted(checked)}")
    return tuple(sorted(checked))


def check_threads(threads: int | None) -> int:
    """Return how many threads to use: as asked, or one a processor but at most 8."""
    if threads is None:
        return min(_MOST_THREADS, processors())
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise UsageError(f"threads must be a whole number above 0, got {threads!r}")
    return threads


def _from_torch(value: Any, *, floating: bool) -> NDArray[Any]:
    torch = sys.modules.get("torch")  # who has a tensor has imported torch; who has not need not wait for it
    if torch is not None and isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        return np.asarray((value.float() if floating else value).numpy())
    return value if isinstance(value, np.ndarray) else np.asarray(value)


def _from_objects(array: NDArray[Any]) -> NDArray[Any]:
    values = array.tolist()
    if all(isinstance(value, str) for value in values):
        return array.astype(np.str_)
    if all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        try:
            return array.astype(np.int64)
        except OverflowError:
            return array
    return array
