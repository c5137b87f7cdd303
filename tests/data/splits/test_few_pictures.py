"""Few pictures a class: validation that can rank, and data that are cut class by class."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from bench.data.layouts.folder import cut
from bench.data.layouts.listing import Part
from bench.data.splits.splits import can_rank, stratified_cut, validation_cut


def labels(classes: int, each: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.repeat(np.arange(classes), each).astype(np.int64)


@pytest.mark.parametrize(("classes", "each"), [(6, 4), (100, 4), (100, 10), (40, 3), (40, 2)])
def test_validation_of_few_images_a_class_holds_out_several_of_fewer_classes(classes: int, each: int) -> None:
    rest, taken = validation_cut(labels(classes, each), 0.1, 0)
    held, left = (Counter(labels(classes, each)[rows].tolist()) for rows in (taken, rest))
    assert can_rank(labels(classes, each)[taken])
    assert min(held.values()) >= 2
    assert all(count != 1 for count in left.values())
    assert len(taken) <= max(4, 0.1 * classes * each + 2)
    assert sorted([*rest, *taken]) == list(range(classes * each))


def test_validation_of_many_images_a_class_is_stratified_as_ever() -> None:
    for one, other in zip(validation_cut(labels(10, 60), 0.1, 3), stratified_cut(labels(10, 60), 0.1, 3), strict=True):
        np.testing.assert_array_equal(one, other)


def test_where_too_much_would_be_held_out_validation_cannot_rank() -> None:
    assert not can_rank(labels(3, 4)[validation_cut(labels(3, 4), 0.1, 0)[1]])


def part(classes: int, each: int) -> Part:
    return Part.of((f"{c}/{n}.png", f"class {c}", f"{c}/{n}") for c in range(classes) for n in range(each))


def test_few_pictures_a_class_are_cut_by_class_with_the_reason_told() -> None:
    parts, why = cut(part(1_000, 4), 0.3, 0)
    shown = {name: set(one.labels) for name, one in parts.items()}
    assert {name: len(classes) for name, classes in shown.items()} == {"train": 630, "validation": 70, "test": 300}
    assert sum(map(len, shown.values())) == len(set.union(*shown.values()))
    assert {min(Counter(one.labels).values()) for one in parts.values()} == {4}
    assert "a split of each class would leave 800 of 1,000 classes one picture to test on" in why


@pytest.mark.parametrize(("classes", "each"), [(20, 10), (20, 7), (4, 4)])
def test_enough_pictures_and_very_few_classes_are_cut_within_each_class(classes: int, each: int) -> None:
    parts, why = cut(part(classes, each), 0.3, 0)
    assert (sorted(parts), why) == (["test", "train"], "")
    assert set(parts["test"].labels) == set(parts["train"].labels)
