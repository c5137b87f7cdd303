"""The inner loops of the ranking: compiled where a compiler was found at installation, else NumPy. The same numbers.

``SIMBENCH_KERNEL=numpy`` in the environment asks for NumPy, to compare or to find a fault.
"""

from __future__ import annotations

import importlib
import os
from types import ModuleType

import numpy as np

from bench.evaluation.ranking import counting_numpy
from bench.evaluation.ranking.arrays import Floats, Ints, Neighbors, Scores


def _compiled() -> ModuleType | None:
    """Return the compiled module, or None where it could not be built or is not wanted."""
    if os.environ.get("SIMBENCH_KERNEL") == "numpy":
        return None
    try:
        return importlib.import_module("bench.evaluation.ranking._kernel")
    except ImportError:
        return None


_KERNEL = _compiled()
NAME = "numpy" if _KERNEL is None else "compiled"


def count_block(scores: Scores, start: Ints, stop: Ints, offsets: Ints) -> tuple[Ints, Ints]:
    """Return what ``counting_numpy.count_block`` does."""
    if _KERNEL is None:
        return counting_numpy.count_block(scores, start, stop, offsets)
    worst = np.empty(int(offsets[-1]), dtype=np.int64)
    best = np.empty_like(worst)
    _KERNEL.count(scores, start, stop, offsets, worst, best)
    return worst, best


def nearest_columns(scores: Scores, start: Ints, stop: Ints, k: int) -> tuple[Neighbors, Scores]:
    """Return what ``counting_numpy.nearest_columns`` does."""
    if _KERNEL is None:
        return counting_numpy.nearest_columns(scores, start, stop, k)
    columns = np.empty((len(scores), k), dtype=np.int32)
    best = np.empty((len(scores), k), dtype=np.float32)
    _KERNEL.nearest(scores, start, stop, columns, best)
    return columns, best


def sum_ranks(values: Ints, offsets: Ints) -> Floats:
    """Return what ``counting_numpy.sum_ranks`` does."""
    if _KERNEL is None:
        return counting_numpy.sum_ranks(values, offsets)
    sums = np.empty((len(offsets) - 1, 4), dtype=np.float64)
    _KERNEL.sums(values, offsets, sums)
    return sums
