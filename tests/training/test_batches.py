"""Batches: balanced, repeatable, and the same pixels that were put in."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.contract import Images, Split
from bench.training.augment import Augmentation
from bench.training.batches import Batches, balanced_order, to_unit_float

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
    batches = Batches(split([0, 1, 2] * 20), 16, CPU, 3, Augmentation("light", mirror=True))
    first, again, other = (torch.cat([b.pixels for b in batches.epoch(n)]) for n in (4, 4, 5))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_rows_say_which_images_a_batch_holds() -> None:
    data = split([0, 1, 2] * 20)
    batch = next(Batches(data, 16, CPU, seed=0).epoch(0))
    assert torch.equal(batch.pixels, to_unit_float(torch.from_numpy(data.images.take(batch.rows.numpy())), CPU))
    assert batch.labels.tolist() == data.labels[batch.rows.numpy()].tolist()


@pytest.mark.parametrize(("count", "batches"), [(10, 200), (640, 200), (25_600, 400)])
def test_a_small_set_is_gone_through_several_times_an_epoch(count: int, batches: int) -> None:
    assert Batches(split([0, 1] * (count // 2), 1), 64, CPU, seed=0).per_epoch == batches


@given(
    st.integers(2, 9).flatmap(lambda c: st.tuples(st.just(c), st.integers(1, 4), st.integers(2, 8))), st.integers(0, 99)
)
def test_a_batch_holds_so_many_of_a_class_at_least_where_not_all_classes_fit(
    given: tuple[int, int, int], seed: int
) -> None:
    classes, per_class, slots = given
    batch = per_class * min(slots, classes)
    labels = np.repeat(np.arange(classes, dtype=np.int64), 7)
    order = balanced_order(labels, batch * 6, np.random.default_rng(seed), batch=batch, per_class=per_class)
    for start in range(0, len(order), batch):
        counts = np.unique(labels[order[start : start + batch]], return_counts=True)[1]
        assert counts.min() >= per_class
    rounds = len(order) // (classes * per_class)
    whole = labels[order[: rounds * classes * per_class]]
    assert set(np.unique(whole, return_counts=True)[1]) <= {rounds * per_class}
