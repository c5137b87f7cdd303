"""Vectors as the ranking sees them: checked, float32, unit length where asked, made a block at a time when needed.

And what lies between them: class means, and the straightest line from one to another on the sphere.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.contract import DataError, SimbenchError, UsageError
from bench.evaluation.ranking.arrays import Floats, Ints, Real, Vectors

if TYPE_CHECKING:
    from torch import Tensor

    VectorsLike: TypeAlias = NDArray[Any] | Tensor | Sequence[Sequence[float]]

_BLOCK_VALUES = 1 << 20  # float64 copies are made of this many values at a time: 8 MB
_OPPOSITE = 1e-3  # radians from pi below which there is no one shortest way
_CHUNK = 8_192  # rows hashed at once: a few megabytes at usual dimensions


def as_vectors(value: VectorsLike, what: str) -> Real:
    """Return vectors as a two-dimensional array of real numbers, with at least one row and one column.

    A memory map or array is returned as it is; a torch tensor is brought to the CPU as float32.
    """
    array = as_array(value, floating=True)
    if array.ndim != 2:
        raise DataError(f"{what} vectors must have shape (n, d), got {array.shape}")
    if array.dtype.kind not in "fiu":
        raise DataError(f"{what} vectors must be real numbers, got {array.dtype}")
    if len(array) == 0:
        raise DataError(f"the {what} is empty: there is nothing to rank")
    if array.shape[1] == 0:
        raise DataError(f"{what} vectors have no dimension: shape {array.shape}")
    return array


def as_array(value: Any, *, floating: bool) -> NDArray[Any]:
    """Return a list, array, memory map or torch tensor (on the CPU, as float32 if ``floating``) as an array."""
    torch = sys.modules.get("torch")  # who has a tensor has imported torch; who has not need not wait for it
    if torch is not None and isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        return np.asarray((value.float() if floating else value).numpy())
    return value if isinstance(value, np.ndarray) else np.asarray(value)


@dataclass(frozen=True)
class Rows:
    """Checked vectors whose float32 rows are made when they are asked for, so that a memory map stays on the disk.

    source: ``(n, d)`` array or memory map of a real dtype. norms: float64 ``(n,)``, all finite and above 0.
    normalize: whether ``take`` divides by them.
    """

    on_device: ClassVar[bool] = False  # whether the source is a tensor that is to stay where it is

    source: Real
    norms: Floats
    normalize: bool

    def __len__(self) -> int:
        return len(self.source)

    @property
    def dimension(self) -> int:
        return int(self.source.shape[1])

    def some(self, rows: Ints) -> Rows:
        """Return some of the rows, int64 row numbers, as rows of their own."""
        return Rows(np.asarray(self.source[rows]), self.norms[rows], self.normalize)

    def take(self, index: Ints | slice) -> Vectors:
        """Return the chosen rows, float32 ``(k, d)``; each row depends on nothing but itself."""
        rows: Vectors = np.asarray(self.source[index]).astype(np.float32, copy=False)
        if not self.normalize:
            return rows
        scaled = np.empty(rows.shape, dtype=np.float32)
        # divided in float64 and rounded once; NumPy casts through a small buffer, so no float64 copy is made
        np.divide(rows, self.norms[index][:, None], out=scaled, casting="same_kind")
        return scaled


def check_vectors(source: Real, what: str, *, normalize: bool, error: type[SimbenchError] = DataError) -> Rows:
    """Return the vectors as rows to rank. Raises if one is not finite or all zero, naming how many and the first."""
    norms = row_norms(source)
    refuse_bad_rows(norms, what, error)
    return Rows(source, norms, normalize)


def lies_on(device: str, *values: object) -> bool:
    """Return whether all values are tensors on a device of that kind, one with float64; never for "cpu" itself."""
    torch = sys.modules.get("torch")
    if torch is None or device == "cpu" or device.startswith("mps"):
        return False
    kind = torch.device(device).type
    return all(isinstance(value, torch.Tensor) and value.device.type == kind for value in values)


def normalize_rows(source: Real, what: str, error: type[SimbenchError] = DataError) -> Vectors:
    """Return the vectors L2-normalised, float32 ``(n, d)``. Raises like ``check_vectors``."""
    return check_vectors(source, what, normalize=True, error=error).take(slice(None))


def refuse_overflow(query: Rows, gallery: Rows) -> None:
    """Raise DataError where an inner product could exceed float32 (it is at most the product of the two lengths)."""
    if query.normalize and gallery.normalize:
        return
    largest = float(query.norms.max()) * float(gallery.norms.max())
    if largest > float(np.finfo(np.float32).max):
        raise DataError(f"similarities could reach {largest:.2g}, which float32 cannot hold; use normalize=True")


def row_norms(vectors: Real) -> Floats:
    """Return the Euclidean length of every row, float64 ``(n,)``, computed in float64 a few rows at a time.

    vectors: ``(n, d)`` of any real dtype; values beyond the range of float32 count as infinite, as they would be in
    the ranking.
    """
    step = max(1, _BLOCK_VALUES // max(1, vectors.shape[1]))
    norms = np.empty(len(vectors), dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        for first in range(0, len(vectors), step):
            rows = np.asarray(vectors[first : first + step]).astype(np.float32, copy=False).astype(np.float64)
            norms[first : first + step] = np.sqrt(np.square(rows).sum(axis=1))
    return norms


def refuse_bad_rows(norms: Floats, what: str, error: type[SimbenchError] = DataError) -> None:
    """Raise if any row is not a number, infinite, or all zero; the message counts them and names the first.

    norms: float64 ``(n,)`` from ``row_norms``: a length is finite and above 0 exactly when its row is usable.
    """
    for wrong, word in ((~np.isfinite(norms), "not finite"), (norms == 0, "all zero")):
        if wrong.any():
            first = int(np.argmax(wrong))
            raise error(f"{what}: {int(wrong.sum())} of {len(norms)} rows are {word}, the first is row {first}")


def equal_rows(n: int, take: Callable[[Ints | slice], Vectors]) -> tuple[Ints, Ints]:
    """Return which of n rows equal an earlier one, and which: (copies, originals), int64 each.

    take: gives chosen rows, float32 ``(k, d)``, the same whenever it is asked.
    Rows are told apart by a 64-bit hash of their bits, and those that share one are compared, so the answer is exact:
    equal rows have equal hashes (-0.0 counts as 0.0).
    """
    hashes = _hashes(n, take)
    order = np.argsort(hashes, kind="stable")
    starts = np.r_[True, hashes[order][1:] != hashes[order][:-1]] if len(order) else np.zeros(0, np.bool_)
    firsts = order[np.maximum.accumulate(np.where(starts, np.arange(len(order)), 0))] if len(order) else order
    copies, originals = order[~starts], firsts[~starts]
    same = np.empty(len(copies), np.bool_)
    for first in range(0, len(copies), _CHUNK):
        some = slice(first, first + _CHUNK)
        same[some] = (take(copies[some]) == take(originals[some])).all(axis=1)
    others = hashes[copies[~same]]
    if not len(others):
        return copies, originals
    # Rows that differ share a hash, as the signs of binary codes make likely: these few groups are compared in full.
    alone = same & ~np.isin(hashes[copies], others)
    more = [pair for value in np.unique(others) for pair in _pairs_of(np.flatnonzero(hashes == value), take)]
    extra = np.array(more, np.int64).reshape(-1, 2)
    return np.r_[copies[alone], extra[:, 0]], np.r_[originals[alone], extra[:, 1]]


def _pairs_of(rows: Ints, take: Callable[[Ints | slice], Vectors]) -> list[tuple[int, int]]:
    """Return (copy, original) of every row that equals an earlier one of some, ascending."""
    first: dict[bytes, int] = {}
    pairs = []
    for row, vector in zip(rows.tolist(), take(rows) + np.float32(0.0), strict=True):
        original = first.setdefault(vector.tobytes(), row)
        if original != row:
            pairs.append((row, original))
    return pairs


def _hashes(n: int, take: Callable[[Ints | slice], Vectors]) -> Ints:
    """Return a hash of each row: its 32-bit words under random odd weights, modulo 2^64, int64 ``(n,)``."""
    found = np.empty(n, np.uint64)
    if n == 0:
        return found.view(np.int64)
    weights = np.random.default_rng(0).integers(0, 2**63, take(slice(0, 1)).shape[1], dtype=np.uint64) * np.uint64(2)
    weights += np.uint64(1)
    for first in range(0, n, _CHUNK):
        rows = take(slice(first, first + _CHUNK))
        words = (rows + np.float32(0.0)).view(np.uint32).astype(np.uint64)
        found[first : first + _CHUNK] = (words * weights).sum(axis=1)
    return found.view(np.int64)


def class_means(vectors: Vectors, labels: Ints) -> tuple[Ints, Vectors]:
    """Return the labels that occur, ascending, and the mean vector of each, brought to unit length.

    vectors: unit float32 ``(n, d)``; labels: int64 ``(n,)``. Result: int64 ``(c,)`` and float32 ``(c, d)``. Summed in
    float64. Raises DataError where a class's vectors cancel out.
    """
    found, place = np.unique(labels, return_inverse=True)
    sums = np.zeros((len(found), vectors.shape[1]))
    np.add.at(sums, place, vectors)
    return found, normalize_rows(sums, "the mean vectors of the classes")


def spherical_walk(first: Vectors, last: Vectors, steps: int) -> Vectors:
    """Return unit vectors at even angles from one to another, both included, float32 ``(steps, d)``.

    first, last: unit float32 ``(d,)``. sin((1 - t) w) / sin(w) first + sin(t w) / sin(w) last, with w the angle between
    them (Shoemake 1985, "Animating Rotation with Quaternion Curves"). Raises UsageError for fewer than two steps, and
    DataError for opposite vectors, between which no way is the shortest.
    """
    if steps < 2:
        raise UsageError(f"a walk has 2 steps or more, got {steps}")
    a, b = first.astype(np.float64), last.astype(np.float64)
    angle = 2 * np.arctan2(np.linalg.norm(a - b), np.linalg.norm(a + b))  # exact for small angles too, unlike arccos
    if angle > np.pi - _OPPOSITE:
        raise DataError("the two vectors are opposite: no way between them is the shortest")
    share = np.linspace(0, 1, steps)[:, None]
    if angle < 1e-6:  # the formula's limit
        return normalize_rows((1 - share) * a + share * b, "the walk")
    return normalize_rows((np.sin((1 - share) * angle) * a + np.sin(share * angle) * b) / np.sin(angle), "the walk")
