"""Two things timed in turn in one process: ratios hold where a machine's clock does not."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def paired(first: Callable[[], object], second: Callable[[], object], rounds: int = 5) -> tuple[float, float, float]:
    """Return the median seconds of both, taken in turn, and the median of their ratio pair by pair."""
    first(), second()
    laps = [(seconds(first), seconds(second)) for _ in range(rounds)]
    return (
        statistics.median(a for a, _ in laps),
        statistics.median(b for _, b in laps),
        statistics.median(a / b for a, b in laps),
    )


def seconds(act: Callable[[], object]) -> float:
    """Return the wall seconds of one call."""
    started = time.perf_counter()
    act()
    return time.perf_counter() - started
