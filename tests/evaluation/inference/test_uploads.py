"""Batches sent ahead to a card: the same vectors as in turn, one shape; what sends them is tested in tests/training."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networked import Networked
from torch import nn

from bench.contract import Images, MethodError
from bench.evaluation.inference.embed import embed_ahead, embed_images, sent_ahead, to_floats

CPU = torch.device("cpu")


def pictures(n: int, channels: int = 3) -> Images:
    return Images(np.random.default_rng(n).integers(1, 256, (n, 4, 5, channels), dtype=np.uint8))


@given(st.integers(1, 23), st.integers(1, 8), st.booleans())
@settings(max_examples=25, deadline=None)
def test_batches_are_those_of_the_images_in_order_and_all_of_one_shape(n: int, size: int, some: bool) -> None:
    images = pictures(n)
    if some:
        images = images.subset(np.random.default_rng(0).permutation(n).astype(np.int64)[: n // 2 + 1])
    wanted, seen = to_floats(images.take(slice(None)), CPU), 0
    for rows, pixels in sent_ahead(images, size, CPU):
        assert rows.start == seen
        assert pixels.shape == (size, 3, 4, 5)
        assert pixels.is_contiguous(memory_format=torch.channels_last)
        count = rows.stop - rows.start
        assert torch.equal(pixels[:count], wanted[rows])
        assert all(torch.equal(one, wanted[rows.stop - 1]) for one in pixels[count:])
        seen = rows.stop
    assert seen == len(images)


def test_vectors_sent_ahead_are_those_of_batches_in_turn(tmp_path: Path) -> None:
    images = pictures(21)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    images.pixels.tofile(tmp_path / "pixels")
    mapped = Images(np.memmap(tmp_path / "pixels", dtype=np.uint8, mode="r", shape=images.pixels.shape))
    for size in (3, 7):  # no short batch: where there is one, a CPU's kernels may round it otherwise
        found = embed_ahead(Networked(network), mapped, size, CPU)
        found /= np.linalg.norm(found, axis=1, keepdims=True)
        np.testing.assert_allclose(found, embed_images(Networked(network), images, device=CPU, batch_size=size), 1e-6)
    flat = Networked(nn.Flatten())
    np.testing.assert_array_equal(
        embed_ahead(flat, images, 8, CPU), to_floats(images.take(slice(None)), CPU).flatten(1).numpy()
    )


def test_a_broken_promise_ends_the_reading_and_is_told() -> None:
    class Grows:
        dimensions = 0

        def fit(self, *given: object) -> None:
            return None

        def embed(self, pixels: torch.Tensor) -> torch.Tensor:
            self.dimensions += 1
            return torch.ones(len(pixels), self.dimensions)

    before = threading.active_count()
    with pytest.raises(MethodError, match=r"Grows\.embed returned 2 dimensions after 1 before"):
        embed_ahead(Grows(), pictures(30), 4, CPU)
    assert threading.active_count() == before


def test_what_cannot_be_read_is_told_where_it_is_needed() -> None:
    class Torn(Images):
        def take(self, index: Any) -> Any:
            if index.start >= 8:
                raise OSError("the disk is gone")
            return super().take(index)

    seen = []
    with pytest.raises(OSError, match="the disk is gone"):
        seen += [rows for rows, _ in sent_ahead(Torn(pictures(20).pixels), 4, CPU)]
    assert threading.active_count() == 1 or not any(one.name.startswith("read-ahead") for one in threading.enumerate())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_card_gives_the_same_vectors_sent_ahead_as_in_turn() -> None:
    card, images = torch.device("cuda"), pictures(1000)
    flat = Networked(nn.Flatten())
    ahead = embed_images(flat, images, device=card, batch_size=64)
    np.testing.assert_array_equal(ahead, embed_images(flat, images, device=card, batch_size=1000))
