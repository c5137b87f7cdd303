"""The K best gallery items of every query, in an order that does not depend on how the gallery was stored."""

from __future__ import annotations

import numpy as np

from bench.evaluation.arrays import Ints, Neighbors, Scores


def nearest_columns(scores: Scores, start: Ints, stop: Ints, k: int) -> tuple[Neighbors, Scores]:
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
