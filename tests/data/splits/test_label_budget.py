"""So many labels a class, validation included; the test untouched; what fewer labels teach, more teach as well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.contract import Collection, Dataset, Images, Split, UsageError
from bench.data.splits.protocols import build_dataset
from bench.data.splits.subsets import Subset, within_budget

MakeCollection = Callable[..., Collection]


def ids(part: Split) -> set[str]:
    return set(part.ids.tolist())


def split(labels: list[int], prefix: str = "") -> Split:
    pixels = np.zeros((len(labels), 1, 1, 1), np.uint8)
    return Split(
        Images(pixels), np.array(labels, np.int64), np.array([f"{prefix}{n}" for n in range(len(labels))], np.str_)
    )


@pytest.fixture
def three(make_collection: MakeCollection) -> Collection:
    return make_collection(3, train=[0, 1, 2] * 60, test=[0, 1, 2] * 10)


def cut(collection: Collection, budget: int, seed: int = 0) -> Dataset:
    return build_dataset(collection, "loo", split_seed=seed, subset=Subset(labels_per_class=budget))


@pytest.mark.parametrize(("budget", "held"), [(1, 0), (5, 0), (19, 0), (20, 2), (30, 3), (59, 5)])
def test_validation_is_a_tenth_of_the_budget_and_nothing_below_twenty(
    three: Collection, budget: int, held: int
) -> None:
    data = cut(three, budget)
    assert Counter(data.train.labels.tolist()) == dict.fromkeys(range(3), budget - held)
    assert Counter(data.validation.labels.tolist()) == (dict.fromkeys(range(3), held) if held else {})
    assert not ids(data.train) & ids(data.validation)
    assert f"at most {budget} labelled images a class" in data.notes[-1]
    assert ("the last epoch is kept" in data.notes[-1]) == (held == 0)


def test_the_test_is_untouched_and_the_data_are_others(three: Collection) -> None:
    whole, few = build_dataset(three, "loo"), cut(three, 5)
    for part in ("query", "gallery"):
        assert getattr(few, part).ids.tolist() == getattr(whole, part).ids.tolist()
    assert few.fingerprint != whole.fingerprint


def test_budgets_are_nested_and_the_split_seed_draws_others(three: Collection) -> None:
    one, five, twenty, fifty = (cut(three, budget) for budget in (1, 5, 20, 50))
    assert ids(one.train) < ids(five.train) < ids(twenty.train) < ids(fifty.train)
    assert ids(twenty.train) | ids(twenty.validation) < ids(fifty.train) | ids(fifty.validation)
    assert ids(cut(three, 5, seed=1).train) != ids(five.train)
    assert cut(three, 5).fingerprint == five.fingerprint


def test_a_validation_part_of_its_own_is_part_of_the_budget(make_collection: MakeCollection) -> None:
    parts = {"train": [0, 1] * 40, "validation": [0, 1] * 20, "test": [0, 1] * 5}
    collection = make_collection(2, **parts)
    for budget, learnt, held in ((5, 5, 0), (20, 18, 2), (30, 27, 3)):
        data = cut(collection, budget)
        assert Counter(data.train.labels.tolist()) == {0: learnt, 1: learnt}
        assert Counter(data.validation.labels.tolist()) == ({0: held, 1: held} if held else {})
    assert ids(data.validation) <= ids(collection.validation or collection.train)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=150),
    st.one_of(st.none(), st.lists(st.integers(0, 4), max_size=60)),
    st.integers(1, 40),
    st.integers(0, 20),
)
def test_no_class_gets_more_labels_than_the_budget_nor_a_lone_validation_image(
    train: list[int], validation: list[int] | None, budget: int, seed: int
) -> None:
    own = None if validation is None else split(validation, "v")
    learnt, checked, _ = within_budget(split(train), own, budget, seed)
    used = Counter(learnt.labels.tolist()) + Counter(checked.labels.tolist())
    there = Counter(train) + Counter(validation or [])
    assert all(used[label] <= min(budget, there[label]) for label in there)
    assert all(count >= 2 for count in Counter(checked.labels.tolist()).values())
    assert not ids(learnt) & ids(checked)
    if validation is None:
        assert used == {label: min(budget, count) for label, count in there.items()}


def test_two_budgets_at_once_and_none_at_all_are_refused() -> None:
    with pytest.raises(UsageError, match="--labels-per-class must be 1 or more, got 0"):
        Subset(labels_per_class=0)
    with pytest.raises(UsageError, match="--per-class or --labels-per-class, not both"):
        Subset(labels_per_class=5, per_class=5)
