"""Less than all of a data set: seeded, told, and never less to test on than was asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.contract import Collection, DataError, Dataset, Images, Split, UsageError
from bench.data.splits.protocols import build_dataset
from bench.data.splits.splits import at_most
from bench.data.splits.subsets import Subset

MakeCollection = Callable[..., Collection]
SIX = [label for label in range(6) for _ in range(10 + 5 * label)]


@pytest.fixture
def six(make_collection: MakeCollection) -> Collection:
    return make_collection(6, train=SIX, test=SIX)


def learnt(data: Dataset) -> dict[int, int]:
    return dict(Counter([*data.train.labels.tolist(), *data.validation.labels.tolist()]))


def test_classes_by_name_are_renumbered_and_nothing_else_is_left(six: Collection) -> None:
    data = build_dataset(six, subset=Subset(classes=("class 4", "class 1")))
    assert data.classes == ("class 1", "class 4")
    assert learnt(data) == {0: 15, 1: 30}
    assert set(data.query.labels.tolist()) == set(data.gallery.labels.tolist()) == {0, 1}
    assert "2 of 6 classes: class 1, class 4" in data.notes


def test_a_class_with_a_comma_or_in_another_normal_form_is_chosen_by_name(six: Collection) -> None:
    named = replace(six, classes=("a, b", "caf\u00e9", "c", "d", "e", "f"))
    data = build_dataset(named, subset=Subset(classes=("a, b", "cafe\u0301")))
    assert data.classes == ("a, b", "caf\u00e9")
    with pytest.raises(UsageError, match="""; with a comma in quotes: '"a, b"'"""):
        build_dataset(named, subset=Subset(classes=("a", "b")))


def test_so_many_classes_are_chosen_by_the_seed_and_more_keep_the_fewer(six: Collection) -> None:
    three, again, four = (build_dataset(six, subset=Subset(classes=(n,))).classes for n in ("3", "3", "4"))
    assert three == again
    assert set(three) < set(four)
    others = {build_dataset(six, split_seed=seed, subset=Subset(classes=("3",))).classes for seed in range(9)}
    assert len(others) > 1


def test_a_number_with_a_comma_is_a_name(make_collection: MakeCollection) -> None:
    six = make_collection(6, train=SIX, test=SIX)
    with pytest.raises(UsageError, match="has no class '3'"):
        build_dataset(six, subset=Subset(classes=("3", "")))


@pytest.mark.parametrize(
    ("classes", "reason"),
    [
        (("class 9", "class 1"), "no class 'class 9'; did you mean"),
        (("class 1",), "name two or more"),
        (("1",), "give 2 to 6"),
        (("7",), "give 2 to 6"),
    ],
)
def test_classes_that_cannot_be_are_refused(six: Collection, classes: tuple[str, ...], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        build_dataset(six, subset=Subset(classes=classes))


@pytest.mark.parametrize("protocol", ["holdout", "loo", "database"])
def test_a_label_budget_counts_validation_and_leaves_the_test_alone(six: Collection, protocol: str) -> None:
    whole, few = build_dataset(six, protocol), build_dataset(six, protocol, subset=Subset(per_class=12))
    assert learnt(few) == {0: 10, **dict.fromkeys(range(1, 6), 12)}
    np.testing.assert_array_equal(few.query.ids, whole.query.ids)
    np.testing.assert_array_equal(few.gallery.ids, whole.gallery.ids)
    assert few.fingerprint != whole.fingerprint


def test_a_validation_part_of_its_own_shares_the_label_budget(make_collection: MakeCollection) -> None:
    collection = make_collection(2, train=[0] * 30 + [1] * 30, validation=[0] * 10 + [1] * 10, test=[0, 1] * 5)
    data = build_dataset(collection, subset=Subset(per_class=8))
    assert Counter(data.train.labels.tolist()) == {0: 6, 1: 6}
    assert Counter(data.validation.labels.tolist()) == {0: 2, 1: 2}
    assert Counter(build_dataset(collection, subset=Subset(per_class=1)).train.labels.tolist()) == {0: 1, 1: 1}


def test_balance_cuts_to_the_smallest_class(six: Collection) -> None:
    data = build_dataset(six, subset=Subset(balance=True))
    assert learnt(data) == dict.fromkeys(range(6), 10)
    assert len(data.query) + len(data.gallery) == len(SIX)


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(1, 20), st.integers(0, 99))
def test_what_a_smaller_budget_keeps_a_larger_one_keeps_too(labels: list[int], most: int, seed: int) -> None:
    numbers = np.array(labels, np.int64)
    few, more = at_most(numbers, most, seed), at_most(numbers, most + 3, seed)
    assert set(few.tolist()) <= set(more.tolist())
    assert Counter(numbers[few].tolist()) == {label: min(most, n) for label, n in Counter(labels).items()}


@settings(deadline=None)
@given(st.integers(4, 13), st.integers(0, 99))
def test_unseen_tests_on_classes_that_were_not_learnt(classes: int, seed: int) -> None:
    labels = np.repeat(np.arange(classes), 10)
    names = np.array([f"{name}" for name in range(classes * 10)])
    split = Split(Images(np.zeros((len(labels), 1, 1, 1), np.uint8)), labels, names)
    known = tuple(f"class {n}" for n in range(classes))
    data = build_dataset(Collection("toy", known, train=split, test=split), "unseen", split_seed=seed)
    seen = (classes + 1) // 2
    assert sorted(data.classes) == sorted(known)
    assert data.learnt_classes == data.classes[:seen]
    assert learnt(data) == dict.fromkeys(range(seen), 10)
    assert Counter(data.query.labels.tolist()) == dict.fromkeys(range(seen, classes), 2)
    assert Counter(data.gallery.labels.tolist()) == dict.fromkeys(range(seen, classes), 8)
    for part in (data.train, data.validation, data.query, data.gallery):
        assert [data.classes[label] for label in part.labels] == [known[int(name) // 10] for name in part.ids]
    assert "training images are not used" in data.notes[-1]


@pytest.mark.parametrize("classes", [2, 3])
def test_unseen_needs_four_classes(make_collection: MakeCollection, classes: int) -> None:
    labels = list(range(classes)) * 5
    with pytest.raises(DataError, match=f"needs 4 classes .* there are {classes}"):
        build_dataset(make_collection(classes, train=labels, test=labels), "unseen")


def test_unseen_is_seeded_and_keeps_a_validation_part_to_the_classes_learnt(make_collection: MakeCollection) -> None:
    collection = make_collection(6, train=SIX, validation=SIX, test=SIX)
    halves = {build_dataset(collection, "unseen", split_seed=seed).learnt_classes for seed in range(9)}
    assert len(halves) > 1
    data = build_dataset(collection, "unseen")
    assert set(data.validation.labels.tolist()) == {0, 1, 2}
