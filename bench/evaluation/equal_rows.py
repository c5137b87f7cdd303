"""Which rows of a matrix are equal to an earlier one: their scores are made equal, whatever a BLAS kernel rounds."""

from __future__ import annotations

import numpy as np

from bench.evaluation.arrays import Ints, Vectors

_CHUNK = 8_192  # rows hashed at once: a few megabytes at usual dimensions


def equal_rows(rows: Vectors) -> tuple[Ints, Ints]:
    """Return the rows of float32 ``(n, d)`` that equal an earlier one, and which: (copies, originals), int64 each.

    Rows are told apart by a 64-bit hash of their bits, and those that share one are compared: the answer is exact
    where it names rows, and misses none, since equal rows have equal hashes (-0.0 counts as 0.0).
    """
    hashes = _hashes(rows)
    order = np.argsort(hashes, kind="stable")
    starts = np.r_[True, hashes[order][1:] != hashes[order][:-1]] if len(order) else np.zeros(0, np.bool_)
    firsts = order[np.maximum.accumulate(np.where(starts, np.arange(len(order)), 0))] if len(order) else order
    copies, originals = order[~starts], firsts[~starts]
    same = np.empty(len(copies), np.bool_)
    for first in range(0, len(copies), _CHUNK):
        some = slice(first, first + _CHUNK)
        same[some] = (rows[copies[some]] == rows[originals[some]]).all(axis=1)
    return copies[same], originals[same]


def _hashes(rows: Vectors) -> Ints:
    """Return a hash of each row: its 32-bit words under random odd weights, modulo 2^64, int64 ``(n,)``."""
    weights = np.random.default_rng(0).integers(0, 2**63, rows.shape[1], dtype=np.uint64) * 2 + 1
    found = np.empty(len(rows), np.uint64)
    for first in range(0, len(rows), _CHUNK):
        words = (rows[first : first + _CHUNK] + np.float32(0.0)).view(np.uint32).astype(np.uint64)
        found[first : first + _CHUNK] = (words * weights).sum(axis=1)
    return found.view(np.int64)
