"""Neighbours as sparse matrices: what expansion, k-reciprocal encoding and diffusion compute on."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from bench.evaluation.arrays import Ints, Vectors
from bench.evaluation.reranking.embedded import Embedded, Shortlist

Matrix: TypeAlias = Any  # scipy.sparse.csr_array, which has no type hints


def weights(found: Shortlist, columns: int, power: float) -> Matrix:
    """Return similarity ** power of every item found, sparse ``(q, columns)``; negative similarities weigh 0."""
    there = found.items >= 0
    row = np.nonzero(there)[0]
    value = np.clip(found.similarities[there], 0, None) ** power
    return _matrix(value, row, found.items[there], (len(found.items), columns))


def links(items: Ints, columns: int) -> Matrix:
    """Return 1 for every item listed, sparse int32 ``(len(items), columns)``; -1 is no item."""
    there = items >= 0
    row = np.nonzero(there)[0]
    return _matrix(np.ones(len(row), dtype=np.int32), row, items[there], (len(items), columns))


def gallery_neighbors(gallery: Vectors, gallery_ids: Ints, k: int) -> Shortlist:
    """Return the k items most similar to each gallery item, itself not among them."""
    return Embedded(gallery, gallery, gallery_ids, gallery_ids).shortlist(k)


def _matrix(value: NDArray[Any], row: Ints, column: Ints, shape: tuple[int, int]) -> Matrix:
    return sparse.csr_array((value, (row, column)), shape=shape)
