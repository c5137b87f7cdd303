"""Batches: balanced, repeatable, and the same pixels that were put in."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.contract import Images, Split
from bench.training.batches import Batches, balanced_order, mirror_some, to_unit_float

CPU = torch.device("cpu")


def split(labels: list[int], size: int = 4) -> Split:
    n = len(labels)
    pixels = np.arange(n * size * size, dtype=np.int64).astype(np.uint8).reshape(n, size, size, 1)
    return Split(Images(pixels), np.array(labels, np.int64), np.arange(n).astype(np.str_))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.integers(1, 200), st.integers(0, 99))
def test_every_class_comes_equally_often_however_rare_it_is(labels: list[int], count: int, seed: int) -> None:
    numbers = np.array(labels, np.int64)
    order = balanced_order(numbers, count, np.random.default_rng(seed))
    drawn = np.unique(numbers[order], return_counts=True)[1] if count >= len(set(labels)) else np.array([1])
    assert len(order) == count
    assert drawn.max() - drawn.min() <= 1


@given(st.integers(1, 6), st.integers(1, 20), st.integers(0, 99))
def test_a_balanced_set_is_seen_whole_before_any_image_comes_twice(classes: int, each: int, seed: int) -> None:
    labels = np.repeat(np.arange(classes, dtype=np.int64), each)
    order = balanced_order(labels, len(labels), np.random.default_rng(seed))
    assert sorted(order) == list(range(len(labels)))


def test_an_epoch_depends_on_seed_and_number_only() -> None:
    batches = Batches(split([0, 1, 2] * 20), 16, CPU, mirror=True, seed=3)
    first, again, other = (torch.cat([b.pixels for b in batches.epoch(n)]) for n in (4, 4, 5))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_rows_say_which_images_a_batch_holds() -> None:
    data = split([0, 1, 2] * 20)
    batch = next(Batches(data, 16, CPU, mirror=False, seed=0).epoch(0))
    assert torch.equal(batch.pixels, to_unit_float(torch.from_numpy(data.images.take(batch.rows)), CPU))
    assert batch.labels.tolist() == data.labels[batch.rows].tolist()


@pytest.mark.parametrize(("count", "batches"), [(10, 200), (640, 200), (25_600, 400)])
def test_a_small_set_is_gone_through_several_times_an_epoch(count: int, batches: int) -> None:
    assert Batches(split([0, 1] * (count // 2), 1), 64, CPU, mirror=False, seed=0).per_epoch == batches


def test_mirroring_flips_the_chosen_images_left_to_right_and_keeps_the_memory_order() -> None:
    pixels = to_unit_float(torch.from_numpy(split([0, 1]).images.take(np.array([0, 1]))), CPU)
    mirrored = mirror_some(pixels, torch.tensor([True, False]))
    assert torch.equal(mirrored[0], pixels[0].flip(2))
    assert torch.equal(mirrored[1], pixels[1])
    assert mirrored.is_contiguous(memory_format=torch.channels_last)
