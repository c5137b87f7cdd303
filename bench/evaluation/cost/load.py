"""How busy other programs kept the machine while something was timed."""

from __future__ import annotations

import os
import time
from pathlib import Path

from bench.environment import processors

_STAT = Path("/proc/stat")  # of each processor: user, nice, system, idle, iowait, irq, softirq, steal, ... in ticks
_AT_WORK = (0, 1, 2, 5, 6, 7)  # of these: stolen time is another machine's on the same processor
_SLACK = 0.25  # of a processor: what a system does beside anyway


class OtherLoad:
    """Processors that other programs kept busy since this was made, of those that this process may use.

    Linux counts every processor's time, of which this process's own is taken off; elsewhere it is the system's load
    average of the last minute less this process's own use since.
    """

    def __init__(self) -> None:
        self._began, self._own, self._busy = time.perf_counter(), time.process_time(), busy_seconds()

    def so_far(self) -> float | None:
        """Return how many, 0 or more; None where the system does not say."""
        passed, own = time.perf_counter() - self._began, time.process_time() - self._own
        if passed <= 0:
            return None
        busy = busy_seconds()
        if busy is not None and self._busy is not None and busy > self._busy:
            return max(0.0, (busy - self._busy - own) / passed)
        try:
            return max(0.0, os.getloadavg()[0] - own / passed)
        except (AttributeError, OSError):  # no such thing on Windows
            return None


def busy_seconds() -> float | None:
    """Return the time that the processors this process may use have been at work, None where the system is no Linux."""
    try:
        lines = _STAT.read_text(encoding="ascii").splitlines()
        own = {f"cpu{number}" for number in os.sched_getaffinity(0)}
        ticks = [int(words[1 + at]) for words in map(str.split, lines) if words and words[0] in own for at in _AT_WORK]
        return sum(ticks) / os.sysconf("SC_CLK_TCK") if ticks else None
    except (AttributeError, OSError, ValueError, IndexError):
        return None


def is_high(load: float | None, threads: int, cores: int | None = None) -> bool:
    """Whether others left fewer processors than were timed on. cores: by default those this process may use."""
    return load is not None and load > (processors() if cores is None else cores) - threads + _SLACK
