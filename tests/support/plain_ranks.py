"""Ranks from plain lists, for examples that a human can check."""

from __future__ import annotations

import numpy as np

from bench.evaluation.ranking.ranks import Ranks


def ranks_of(lists: list[list[int]], items: list[int]) -> Ranks:
    """Return ranks from one plain list a query."""
    sizes = [len(ranks) for ranks in lists]
    return Ranks(
        values=np.array([rank for ranks in lists for rank in ranks], dtype=np.int64),
        offsets=np.concatenate(([0], np.cumsum(sizes))).astype(np.int64),
        items=np.array(items, dtype=np.int64),
    )
