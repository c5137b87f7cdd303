"""Which rows of a matrix are equal to an earlier one: their scores are made equal, whatever a BLAS kernel rounds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bench.evaluation.arrays import Ints, Vectors

_CHUNK = 8_192  # rows hashed at once: a few megabytes at usual dimensions


def equal_rows(n: int, take: Callable[[Ints | slice], Vectors]) -> tuple[Ints, Ints]:
    """Return which of n rows equal an earlier one, and which: (copies, originals), int64 each.

    take: gives chosen rows, float32 ``(k, d)``, the same whenever it is asked.
    Rows are told apart by a 64-bit hash of their bits, and those that share one are compared: the answer is exact
    where it names rows, and misses none, since equal rows have equal hashes (-0.0 counts as 0.0).
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
    return copies[same], originals[same]


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
