"""How long a call takes: repeated with other inputs on fixed threads, every sample kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import faiss
import numpy as np
import torch

from bench.contract import DataError, UsageError

T = TypeVar("T")

_WARM_UP_SHARE = 0.25  # of the seconds given


@dataclass(frozen=True)
class Latency:
    """The raw wall-clock times of one call, repeated, and what is read from them.

    what: the call; batch: images, queries or vectors a call; threads: CPU threads it could use; device: where it ran;
    samples_ns: nanoseconds of every call after the warm-up, in the order they were taken.
    """

    what: str
    batch: int
    threads: int
    device: str
    samples_ns: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.samples_ns or min(self.samples_ns) <= 0:
            raise DataError(f"{self.what}: {len(self.samples_ns)} samples, each must be above 0 ns")

    @property
    def median_ms(self) -> float:
        return self.percentile_ms(50)

    @property
    def per_second(self) -> float:
        """Images, queries or vectors a second: all that were done over all the time they took."""
        return self.batch * len(self.samples_ns) / (sum(self.samples_ns) / 1e9)

    def percentile_ms(self, percent: float) -> float:
        """Return a percentile in milliseconds, linear between samples: near the largest where there are few."""
        return float(np.percentile(self.samples_ns, percent)) / 1e6


@dataclass(frozen=True)
class Timing:
    """How a call is timed.

    device: to wait for, before and after; threads: CPU threads of torch and faiss; seconds: for warm-up and samples
    together, after which no call begins; max_samples: after which it stops earlier; warm_up: calls that leave no
    sample, as the first ones allocate, choose kernels and fill caches: one in any case unless it is 0, and no more once
    a quarter of the seconds is over.

    One sample is taken in any case, so that a call slower than the seconds is run twice.
    """

    device: torch.device
    threads: int = 1
    seconds: float = 1.0
    max_samples: int = 500
    warm_up: int = 3

    def __post_init__(self) -> None:
        if self.seconds <= 0 or self.max_samples < 1 or self.warm_up < 0:
            raise UsageError(f"nothing can be timed with {self}")


def time_calls(
    what: str, batch: int, prepare: Callable[[int], T], call: Callable[[T], object], timing: Timing
) -> Latency:
    """Time ``call(prepare(turn))`` for turn 0, 1, 2, ...; preparing, and freeing what is returned, is not timed."""
    begun = time.perf_counter()

    def once(turn: int) -> int:
        given = prepare(turn)
        synchronize(timing.device)
        start = time.perf_counter_ns()
        kept = call(given)
        synchronize(timing.device)
        taken = time.perf_counter_ns() - start
        del kept  # only now
        return max(1, taken)  # a clock may tick too slowly for what does next to nothing

    def used() -> float:
        return (time.perf_counter() - begun) / timing.seconds

    with fixed_threads(timing.threads):
        for turn in range(timing.warm_up):
            once(turn)
            if used() >= _WARM_UP_SHARE:
                break
        samples: list[int] = []
        while len(samples) < timing.max_samples:
            samples.append(once(len(samples)))
            if used() >= 1:
                break
    return Latency(what, batch, timing.threads, str(timing.device), tuple(samples))


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


@contextmanager
def fixed_threads(threads: int) -> Iterator[None]:
    """Give torch and faiss so many CPU threads, and their former numbers back afterwards."""
    if threads < 1:
        raise UsageError(f"threads must be above 0, got {threads}")
    before = torch.get_num_threads(), faiss.omp_get_max_threads()
    try:
        torch.set_num_threads(threads)
        faiss.omp_set_num_threads(threads)
        yield
    finally:
        torch.set_num_threads(before[0])
        faiss.omp_set_num_threads(before[1])


class StageTimer:
    """Wall seconds of each stage of a run, as ``<stage>_seconds``, added up, and of all since it was made."""

    def __init__(self) -> None:
        self.stages: dict[str, float] = {}
        self._began = time.perf_counter()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        seconds = self.stages.get(f"{name}_seconds", 0.0) + time.perf_counter() - began
        self.stages[f"{name}_seconds"] = round(seconds, 4)

    def elapsed(self) -> float:
        return round(time.perf_counter() - self._began, 3)
