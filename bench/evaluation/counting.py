"""Scores to ranks for one block of queries: the inner loop of the ranking in NumPy (compiled: see ``kernel``)."""

from __future__ import annotations

import numpy as np

from bench.evaluation.arrays import Ints, Scores

_FEW = 32  # up to so many relevant items, dropping the scores below them all is cheaper than sorting everything


def count_block(scores: Scores, start: Ints, stop: Ints, offsets: Ints) -> tuple[Ints, Ints]:
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
