"""The inner loops of the ranking: compiled where a compiler was found at installation, else NumPy. The same numbers.

``SIMBENCH_KERNEL=numpy`` in the environment asks for NumPy, to compare or to find a fault.
"""

from __future__ import annotations

import importlib
import os
from types import ModuleType

import numpy as np

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
    """Return what ``count_block_numpy`` does."""
    if _KERNEL is None:
        return count_block_numpy(scores, start, stop, offsets)
    worst = np.empty(int(offsets[-1]), dtype=np.int64)
    best = np.empty_like(worst)
    _KERNEL.count(scores, start, stop, offsets, worst, best)
    return worst, best


def nearest_columns(scores: Scores, start: Ints, stop: Ints, k: int) -> tuple[Neighbors, Scores]:
    """Return what ``nearest_columns_numpy`` does."""
    if _KERNEL is None:
        return nearest_columns_numpy(scores, start, stop, k)
    columns = np.empty((len(scores), k), dtype=np.int32)
    best = np.empty((len(scores), k), dtype=np.float32)
    _KERNEL.nearest(scores, start, stop, columns, best)
    return columns, best


def sum_ranks(values: Ints, offsets: Ints) -> Floats:
    """Return what ``sum_ranks_numpy`` does."""
    if _KERNEL is None:
        return sum_ranks_numpy(values, offsets)
    sums = np.empty((len(offsets) - 1, 4), dtype=np.float64)
    _KERNEL.sums(values, offsets, sums)
    return sums


_FEW = 32  # up to so many relevant items, dropping the scores below them all is cheaper than sorting everything


def count_block_numpy(scores: Scores, start: Ints, stop: Ints, offsets: Ints) -> tuple[Ints, Ints]:
    """Return pessimistic and optimistic ranks, int64 ``(offsets[-1],)`` each, ascending within a row.

    scores: float32 ``(rows, N)``, rows contiguous, no NaN, not written to; -inf marks an item that is excluded for
    that query (no other score is -inf). start, stop: int64 ``(rows,)``, the relevant columns of each row, excluded
    ones among them. offsets: int64 ``(rows + 1,)``, where each row's ranks go; their differences are R.

    With the relevant scores of a row sorted from best to worst, the p-th has rank p + the number of other scores that
    are at least as high (pessimistic), or higher (optimistic). Here the relevant scores and the others are sorted, and
    the first looked up in the second.
    """
    pessimistic = np.empty(int(offsets[-1]), dtype=np.int64)
    optimistic = np.empty_like(pessimistic)
    for row in range(len(scores)):
        first, last = int(offsets[row]), int(offsets[row + 1])
        if first == last:
            continue
        line, begin, end = scores[row], int(start[row]), int(stop[row])
        relevant = np.sort(line[begin:end])[first - last :]  # excluded ones are -inf and come before
        others = np.concatenate((line[:begin], line[end:]))
        above, level = _above_and_level(relevant, others)
        place = np.arange(1, last - first + 1)
        optimistic[first:last] = place + above[::-1]
        pessimistic[first:last] = optimistic[first:last] + level[::-1]
    return pessimistic, optimistic


def _above_and_level(relevant: Scores, others: Scores) -> tuple[Ints, Ints]:
    """Return how many of the other scores are higher than, and equal to, each relevant score (ascending)."""
    if len(relevant) <= _FEW:
        others = others[others >= relevant[0]]
    others.sort()
    below = np.searchsorted(others, relevant, side="left")
    level = np.zeros(len(relevant), dtype=np.int64)
    inside = np.flatnonzero(below < len(others))
    tied = inside[others[below[inside]] == relevant[inside]]
    if len(tied):
        level[tied] = np.searchsorted(others, relevant[tied], side="right") - below[tied]
    return len(others) - below - level, level


def nearest_columns_numpy(scores: Scores, start: Ints, stop: Ints, k: int) -> tuple[Neighbors, Scores]:
    """Return the k best columns of each row and their scores, best first.

    scores: float32 ``(rows, N)``, no NaN, -inf for an excluded item; start, stop: int64 ``(rows,)``, each row's
    relevant columns; k <= N. Equal scores are ordered against the query: columns that are not relevant first, then the
    lower column (columns are grouped by label, then id). Result: int32 and float32 ``(rows, k)``, padded with -1 and
    NaN where a row has fewer than k items.
    """
    columns = np.full((len(scores), k), -1, dtype=np.int32)
    best = np.full((len(scores), k), np.nan, dtype=np.float32)
    bound = _lower_bound(scores, k)
    for row, line in enumerate(scores):
        chosen = np.flatnonzero(line >= bound[row])
        chosen = chosen[line[chosen] > -np.inf]
        relevant = (chosen >= start[row]) & (chosen < stop[row])
        if len(chosen) > k:
            keep = _best(line[chosen], relevant, k)
            chosen, relevant = chosen[keep], relevant[keep]
        order = np.lexsort((chosen, relevant, -line[chosen]))
        columns[row, : len(chosen)] = chosen[order]
        best[row, : len(chosen)] = line[chosen[order]]
    return columns, best


def _lower_bound(scores: Scores, k: int) -> Scores:
    """Return for each row a score that at least k columns reach, float32 ``(rows,)``, close to the k-th best.

    The columns are dealt out to a few hundred groups; the k best of the groups' maxima belong to k different columns.
    Neighbouring columns go to different groups, or one class could hide in one maximum.
    """
    rows, n = scores.shape
    groups = min(n, max(512, 8 * k))
    deep = n // groups
    maxima = scores[:, : deep * groups].reshape(rows, deep, groups).max(axis=1)
    bound: Scores = np.partition(maxima, groups - k, axis=1)[:, groups - k]
    return bound


def _best(values: Scores, relevant: np.ndarray[tuple[int], np.dtype[np.bool_]], k: int) -> Ints:
    """Return the places of the k best values; among values equal to the k-th, those not relevant and leftmost first."""
    threshold = np.partition(values, len(values) - k)[len(values) - k]
    above = np.flatnonzero(values > threshold)
    level = values == threshold
    tied = np.concatenate((np.flatnonzero(level & ~relevant), np.flatnonzero(level & relevant)))
    return np.concatenate((above, tied[: k - len(above)]))


def sum_ranks_numpy(values: Ints, offsets: Ints) -> Floats:
    """Return four sums over each query's ranks, float64 ``(q, 4)``; 0 for a query without any.

    values, offsets: as in ``Ranks``. The columns, with p the place of a rank among its query's R: the sum of p / rank;
    of the ranks; of p / rank over ranks <= R; how many ranks are <= R. Terms are added one by one from the first on, so
    that the compiled twin and blocks of any size give the same bits.
    """
    relevant = np.diff(offsets)
    query = np.repeat(np.arange(len(relevant)), relevant)
    position = np.arange(1, len(values) + 1) - np.repeat(offsets[:-1], relevant)
    precision = position / values
    top = np.flatnonzero(values <= np.repeat(relevant, relevant))
    columns = (
        (query, precision),
        (query, values.astype(np.float64)),
        (query[top], precision[top]),
        (query[top], np.ones(len(top))),
    )
    return np.column_stack(
        [np.bincount(owner, weights=weight, minlength=len(relevant)).astype(np.float64) for owner, weight in columns]
    )
