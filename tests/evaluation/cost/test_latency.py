"""Latencies time the call alone, are bounded in time, and leave the thread settings as they were."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from functools import partial

import faiss
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from bench.contract import DataError, Images, ImageShape, RunContext, Split, UsageError
from bench.evaluation.cost.latency import (
    Pictures,
    Service,
    decode_latency,
    embed_latency,
    end_to_end_latency,
    flat_index,
    index_latency,
    preprocess_latency,
    search_latency,
)
from bench.evaluation.cost.timing import Latency, Timing, fixed_threads, time_calls
from bench.evaluation.ranking.vectors import normalize_rows

CPU = torch.device("cpu")
SHAPE = ImageShape(8, 8, 3)
QUICK = Timing(CPU, max_samples=10)


class Flat:
    """Pixels as they are; it remembers how it was called."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.threads: set[int] = set()

    def fit(self, train: Split, validation: Split, run: RunContext) -> None:
        return None

    def embed(self, pixels: torch.Tensor) -> torch.Tensor:
        self.batches.append(len(pixels))
        self.threads.add(torch.get_num_threads())
        return pixels.flatten(1) - 0.5


def noise(n: int, shape: ImageShape = SHAPE) -> NDArray[np.uint8]:
    size = (n, shape.height, shape.width, shape.channels)
    return np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)


def as_files(pixels: NDArray[np.uint8]) -> tuple[bytes, ...]:
    files = []
    for one in pixels:
        file = io.BytesIO()
        Image.fromarray(one).save(file, "PNG")
        files.append(file.getvalue())
    return tuple(files)


def decode(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(data)))


PIXELS = noise(20)
IMAGES = Images(PIXELS)
PICTURES = Pictures(as_files(PIXELS), decode, SHAPE, "test")
VECTORS = np.random.default_rng(0).standard_normal((200, 8)).astype(np.float32)


@pytest.mark.parametrize("batch", [1, 64])
def test_embedding_is_timed_at_the_batch_size_asked_for(batch: int) -> None:
    method = Flat()
    latency = embed_latency(method, IMAGES, QUICK, batch=batch)
    assert (latency.what, latency.batch, len(latency.samples_ns)) == ("embed", batch, 10)
    assert set(method.batches) == {batch}
    assert len(method.batches) == 13, "three calls to warm up leave no sample"
    assert method.threads == {1}
    assert latency.median_ms <= latency.percentile_ms(95) <= latency.percentile_ms(99)


STAGES: dict[str, Callable[[int], Latency]] = {
    "decode": lambda batch: decode_latency(PICTURES, QUICK, batch=batch),
    "preprocess": lambda batch: preprocess_latency(IMAGES, QUICK, batch=batch),
    "search": lambda batch: search_latency(VECTORS[:3], flat_index(VECTORS), QUICK, batch=batch),
    "end_to_end": lambda batch: end_to_end_latency(service(), QUICK, batch=batch),
}


@pytest.mark.parametrize("batch", [1, 64])
@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_is_timed_for_one_and_for_many(stage: str, batch: int) -> None:
    latency = STAGES[stage](batch)
    assert (latency.what, latency.batch, len(latency.samples_ns)) == (stage, batch, 10)


def service() -> Service:
    gallery = normalize_rows(PIXELS.transpose(0, 3, 1, 2).reshape(len(PIXELS), -1) / 255 - 0.5, "gallery")
    return Service(Flat(), PICTURES, flat_index(gallery), 3, CPU)


def test_what_is_timed_end_to_end_finds_every_picture_itself_first() -> None:
    found = service().rank(PICTURES.encoded)
    assert found.shape == (20, 3)
    assert found[:, 0].tolist() == list(range(20))


def test_pictures_decode_to_the_pixels_they_were_made_of_and_go_round() -> None:
    np.testing.assert_array_equal(PICTURES.pixels(PICTURES.encoded), PIXELS)
    assert PICTURES.chosen(1, 15) == [PICTURES.encoded[row % 20] for row in range(15, 30)]


def test_a_grey_picture_fills_all_channels_of_a_colour_data_set() -> None:
    grey = noise(1, ImageShape(8, 8, 1))
    pictures = Pictures(as_files(grey[..., 0]), lambda data: np.atleast_3d(decode(data)), SHAPE, "test")
    np.testing.assert_array_equal(pictures.pixels(pictures.encoded), np.repeat(grey, 3, axis=3))


def test_building_the_index_is_timed_a_few_times() -> None:
    latency = index_latency(VECTORS, Timing(CPU))
    assert (latency.what, latency.batch, len(latency.samples_ns)) == ("index_build", 200, 5)


def test_a_gallery_smaller_than_k_can_be_searched() -> None:
    assert search_latency(VECTORS[:3], flat_index(VECTORS[:10]), QUICK, k=50).batch == 1


def test_preparing_and_freeing_are_not_timed() -> None:
    class SlowToFree:
        def __del__(self) -> None:
            time.sleep(0.02)

    def prepare(turn: int) -> int:
        time.sleep(0.02)
        return turn

    latency = time_calls("nothing", 1, prepare, lambda turn: SlowToFree(), Timing(CPU, seconds=5, max_samples=5))
    assert latency.median_ms < 5


def test_every_call_gets_its_own_turn() -> None:
    turns: list[int] = []
    time_calls("turns", 1, lambda turn: turn, turns.append, Timing(CPU, max_samples=4, warm_up=2))
    assert turns == [0, 1, 0, 1, 2, 3]


def test_the_time_is_bounded() -> None:
    calls: list[int] = []

    def slow(turn: int) -> None:
        calls.append(turn)
        time.sleep(0.03)

    latency = time_calls("slow", 1, lambda turn: turn, slow, Timing(CPU, seconds=0.1, max_samples=10_000))
    assert 1 <= len(latency.samples_ns) <= 4
    assert len(calls) <= 5


@pytest.mark.parametrize(("warm_up", "calls"), [(3, 2), (0, 1)])
def test_a_call_slower_than_the_time_given_warms_up_once_and_leaves_one_sample(warm_up: int, calls: int) -> None:
    done: list[int] = []

    def slow(turn: int) -> None:
        done.append(turn)
        time.sleep(0.03)

    latency = time_calls("slow", 1, lambda turn: turn, slow, Timing(CPU, seconds=0.01, warm_up=warm_up))
    assert (len(latency.samples_ns), len(done)) == (1, calls)
    assert latency.median_ms >= 29


def test_the_summary_is_that_of_the_raw_samples() -> None:
    latency = Latency("embed", 64, 1, "cpu", (1_000_000, 2_000_000, 9_000_000))
    assert latency.median_ms == 2.0
    assert latency.percentile_ms(95) == pytest.approx(8.3)
    assert latency.percentile_ms(99) == pytest.approx(8.86)
    assert latency.per_second == pytest.approx(64 * 3 / 0.012)


def test_threads_are_fixed_and_given_back_even_after_an_error() -> None:
    before = torch.get_num_threads(), faiss.omp_get_max_threads()
    with fixed_threads(1):
        assert (torch.get_num_threads(), faiss.omp_get_max_threads()) == (1, 1)
    with pytest.raises(RuntimeError, match="inside"), fixed_threads(before[0] + 1):
        raise RuntimeError("inside")
    assert (torch.get_num_threads(), faiss.omp_get_max_threads()) == before


def test_nothing_to_time_is_refused() -> None:
    none = Images(np.empty((0, 2, 2, 1), dtype=np.uint8))
    for stage in (preprocess_latency, partial(embed_latency, Flat())):
        with pytest.raises(DataError, match="nothing to time"):
            stage(none, QUICK)
    with pytest.raises(DataError, match="nothing to search"):
        search_latency(VECTORS[:0], flat_index(VECTORS), QUICK)
    with pytest.raises(DataError, match="no pictures"):
        Pictures((), decode, SHAPE, "test")
    with pytest.raises(DataError, match="0 samples"):
        Latency("embed", 1, 1, "cpu", ())
    with pytest.raises(UsageError, match="threads must be above 0"), fixed_threads(0):
        pass
    with pytest.raises(UsageError, match="nothing can be timed"):
        Timing(CPU, seconds=0)
