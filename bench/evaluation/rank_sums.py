"""The sums over all of a query's ranks that the full-ranking metrics are made of."""

from __future__ import annotations

import numpy as np

from bench.evaluation.arrays import Floats, Ints


def sum_ranks(values: Ints, offsets: Ints) -> Floats:
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
