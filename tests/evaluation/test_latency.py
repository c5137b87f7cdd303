"""Latencies are positive, bounded in time, and leave the thread settings as they were."""

from __future__ import annotations

import time

import faiss
import numpy as np
import pytest
import torch

from bench.contract import DataError, FitContext, Images, Split, UsageError
from bench.evaluation.latency import Latency, embed_latency, fixed_threads, search_latency

CPU = torch.device("cpu")


class Mean:
    def __init__(self) -> None:
        self.batches: list[int] = []
        self.threads: set[int] = set()

    def fit(self, train: Split, validation: Split, run: FitContext) -> None:
        return None

    def embed(self, pixels: torch.Tensor) -> torch.Tensor:
        self.batches.append(len(pixels))
        self.threads.add(torch.get_num_threads())
        return pixels.mean(dim=(2, 3))


IMAGES = Images(np.ones((5, 8, 8, 3), dtype=np.uint8))


@pytest.mark.parametrize("batch", [1, 64])
def test_embedding_is_timed_at_the_batch_size_asked_for(batch: int) -> None:
    method = Mean()
    latency = embed_latency(method, IMAGES, device=CPU, batch=batch, max_samples=10)
    assert len(latency.samples_ns) == 10
    assert min(latency.samples_ns) > 0
    assert set(method.batches) == {batch}
    assert len(method.batches) == 13, "three calls to warm up leave no sample"
    assert method.threads == {1}
    assert latency.median_ms <= latency.p95_ms


def test_search_is_timed() -> None:
    vectors = np.random.default_rng(0).standard_normal((200, 8)).astype(np.float32)
    latency = search_latency(vectors[:3], vectors, max_samples=7)
    assert len(latency.samples_ns) == 7
    assert latency.per_second > 0
    assert search_latency(vectors[:3], vectors[:10], k=50, max_samples=5).batch == 1, "fewer items than k"


def test_the_time_is_bounded() -> None:
    class Slow(Mean):
        def embed(self, pixels: torch.Tensor) -> torch.Tensor:
            time.sleep(0.02)
            return super().embed(pixels)

    start = time.perf_counter()
    latency = embed_latency(Slow(), IMAGES, device=CPU, seconds=0.2, max_samples=10_000)
    assert 5 <= len(latency.samples_ns) <= 10
    assert time.perf_counter() - start < 2


def test_the_summary_is_that_of_the_raw_samples() -> None:
    latency = Latency("embed", 64, 1, "cpu", (1_000_000, 2_000_000, 9_000_000))
    assert latency.median_ms == 2.0
    assert latency.p95_ms == pytest.approx(8.3)
    assert latency.per_second == pytest.approx(64 * 3 / 0.012)


def test_threads_are_fixed_and_given_back_even_after_an_error() -> None:
    before = torch.get_num_threads(), faiss.omp_get_max_threads()
    with fixed_threads(1):
        assert (torch.get_num_threads(), faiss.omp_get_max_threads()) == (1, 1)
    with pytest.raises(RuntimeError, match="inside"), fixed_threads(before[0] + 1):
        raise RuntimeError("inside")
    assert (torch.get_num_threads(), faiss.omp_get_max_threads()) == before


def test_nothing_to_time_is_refused() -> None:
    with pytest.raises(DataError, match="nothing to time"):
        embed_latency(Mean(), Images(np.empty((0, 2, 2, 1), dtype=np.uint8)), device=CPU)
    with pytest.raises(DataError, match="nothing to search"):
        search_latency(np.empty((0, 2), dtype=np.float32), np.ones((2, 2), dtype=np.float32))
    with pytest.raises(DataError, match="0 samples"):
        Latency("embed", 1, 1, "cpu", ())
    with pytest.raises(UsageError, match="threads must be above 0"), fixed_threads(0):
        pass
