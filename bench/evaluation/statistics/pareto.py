"""Which of many points nothing else beats in everything at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.evaluation.ranking.arrays import Floats


def pareto_front(costs: Floats) -> NDArray[np.bool_]:
    """Return who is on the Pareto front, bool ``(n,)``: no other costs as little in all, and less in something.

    costs: float64 ``(n, d)``, less is better in every column; of equal points all are on the front, or none.
    """
    beaten = [((costs <= cost).all(axis=1) & (costs < cost).any(axis=1)).any() for cost in costs]
    return ~np.array(beaten, dtype=np.bool_)
