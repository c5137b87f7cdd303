"""How long a user waits: for one image's vector, for a batch's, and for one search of the gallery."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import faiss
import numpy as np
import torch

from bench.contract import DataError, Images, Method, UsageError
from bench.evaluation.arrays import Vectors
from bench.evaluation.embedding import embed_pixels, to_floats

_WARM_UP_CALLS = 3  # the first ones allocate, choose kernels, and fill caches
_FEWEST_SAMPLES = 5


@dataclass(frozen=True)
class Latency:
    """The raw wall-clock times of one call, repeated, and what is read from them.

    what: the call; batch: images or queries a call; threads: CPU threads it could use; device: where the model ran;
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
        return float(np.median(self.samples_ns)) / 1e6

    @property
    def p95_ms(self) -> float:
        return float(np.percentile(self.samples_ns, 95)) / 1e6

    @property
    def per_second(self) -> float:
        """Images or queries a second: all that were done over all the time they took."""
        return self.batch * len(self.samples_ns) / (sum(self.samples_ns) / 1e9)


def embed_latency(
    method: Method,
    images: Images,
    *,
    device: torch.device,
    batch: int = 1,
    threads: int = 1,
    seconds: float = 2.0,
    max_samples: int = 200,
) -> Latency:
    """Time ``embed`` from uint8 pixels in memory to float32 vectors on the CPU, waiting for the device each time.

    batch: images a call, other ones each time (up to 256 images are gone through again and again). Stops after
    ``seconds`` or ``max_samples``, whichever is first, but not before 5 samples.
    """
    if len(images) == 0 or batch < 1:
        raise DataError(f"nothing to time: batches of {batch} from {len(images)} images")
    pool = images.take(np.arange(min(len(images), max(batch, 256)), dtype=np.int64))  # decoded, and off the disk

    def timed(turn: int) -> int:
        pixels = pool[np.arange(turn * batch, (turn + 1) * batch) % len(pool)]
        synchronize(device)
        start = time.perf_counter_ns()
        embed_pixels(method, to_floats(pixels, device)).cpu()
        synchronize(device)
        return time.perf_counter_ns() - start

    with fixed_threads(threads):
        return Latency("embed", batch, threads, str(device), _samples(timed, seconds, max_samples))


def search_latency(
    queries: Vectors,
    gallery: Vectors,
    *,
    k: int = 50,
    threads: int = 1,
    seconds: float = 2.0,
    max_samples: int = 200,
) -> Latency:
    """Time one query's exact search of the gallery: inner products and top k, faiss ``IndexFlatIP``.

    queries ``(q, d)``, gallery ``(N, d)``: float32 in memory; another query each time. k is at most N. Stops like
    ``embed_latency``.
    """
    if len(queries) == 0 or len(gallery) == 0:
        raise DataError(f"nothing to search: {len(queries)} queries, {len(gallery)} gallery items")
    index = faiss.IndexFlatIP(gallery.shape[1])
    index.add(np.ascontiguousarray(gallery, dtype=np.float32))

    def timed(turn: int) -> int:
        query = np.ascontiguousarray(queries[turn % len(queries)][None], dtype=np.float32)
        start = time.perf_counter_ns()
        index.search(query, min(k, len(gallery)))
        return time.perf_counter_ns() - start

    with fixed_threads(threads):
        return Latency("search", 1, threads, "cpu", _samples(timed, seconds, max_samples))


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


def _samples(timed: Callable[[int], int], seconds: float, max_samples: int) -> tuple[int, ...]:
    """Return the nanoseconds of repeated calls until the time or the number of samples is used up."""
    for turn in range(_WARM_UP_CALLS):
        timed(turn)
    samples: list[int] = []
    end = time.perf_counter() + seconds
    for turn in range(max(max_samples, _FEWEST_SAMPLES)):
        if len(samples) >= _FEWEST_SAMPLES and time.perf_counter() > end:
            break
        samples.append(timed(turn))
    return tuple(samples)
