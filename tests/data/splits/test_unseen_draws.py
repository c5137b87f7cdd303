"""Draws of the unseen classes: every image of them asks, the second half in order is a draw, parts are pooled."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bench.contract import Collection, DataError, UsageError
from bench.data.splits.protocols import build_dataset
from bench.data.splits.subsets import Subset

MakeCollection = Callable[..., Collection]
SIX = list(range(6)) * 5


def test_unseen_loo_has_every_image_of_the_unseen_classes_ask_all_others(make_collection: MakeCollection) -> None:
    collection = make_collection(6, train=SIX, validation=[0, 5], test=SIX)
    data = build_dataset(collection, "unseen_loo", split_seed=3)
    asked = {data.classes[label] for label in data.query.labels}
    every = [part for part in (collection.train, collection.validation, collection.test) if part is not None]
    ids = {name for part in every for name, label in zip(part.ids, part.labels, strict=True)
           if collection.classes[label] in asked}  # fmt: skip
    assert set(data.query.ids.tolist()) == ids
    assert data.query is data.gallery
    assert data.seen_classes is False
    assert len(data.train) + len(data.validation) + len(data.query) == 2 * len(SIX) + 2
    for part in (data.train, data.query):  # labels, pictures and ids stay together where arrays are joined
        shown = part.images.take(slice(None))[:, 0, 0, 0]
        assert [int(name.rpartition("/")[2]) for name in part.ids] == shown.tolist()


@pytest.mark.parametrize("protocol", ["unseen", "unseen_loo"])
def test_the_first_draw_learns_the_first_half_of_the_classes(make_collection: MakeCollection, protocol: str) -> None:
    data = build_dataset(make_collection(6, train=SIX, test=SIX), protocol, split_seed="first")
    assert data.learnt_classes == data.classes[:3]
    assert list(data.classes) == sorted(data.classes)
    assert set(data.query.labels.tolist()) == {3, 4, 5}
    assert "second half in the data set's order" in data.notes[-1]


def test_the_first_draw_is_refused_where_no_classes_are_drawn(make_collection: MakeCollection) -> None:
    collection = make_collection(6, train=SIX, test=SIX)
    with pytest.raises(UsageError, match="protocol loo draws no classes: split seed first is for unseen and"):
        build_dataset(collection, "loo", split_seed="first")


def test_the_digest_of_the_collection_stays_with_every_draw(make_collection: MakeCollection) -> None:
    collection = make_collection(6, train=SIX, test=SIX)
    named = Collection(**{**vars(collection), "digest": "abc"})
    found = [build_dataset(named, "unseen", split_seed=seed) for seed in range(3)]
    assert {data.collection_digest for data in found} == {"abc"}
    assert len({data.fingerprint for data in found}) > 1


def test_classes_that_are_new_already_are_said_to_be(make_collection: MakeCollection) -> None:
    collection = make_collection(6, train=[0, 1, 2] * 4, test=[3, 4, 5] * 4)
    with pytest.raises(Exception, match="new already, with protocol holdout too"):
        build_dataset(collection, "unseen")
    assert np.unique(build_dataset(collection, "unseen_loo").query.labels).size == 3


@pytest.mark.parametrize("protocol", ["unseen", "unseen_loo"])
def test_whole_classes_validate_that_are_neither_trained_nor_tested(
    make_collection: MakeCollection, protocol: str
) -> None:
    sixteen = list(range(16)) * 3
    collection = make_collection(16, train=sixteen, validation=[0, 1, 2], test=sixteen)
    usual, data = (
        build_dataset(collection, protocol, subset=Subset(validation=kind)) for kind in ("images", "classes")
    )
    train, held, asked = ({*part.labels.tolist()} for part in (data.train, data.validation, data.query))
    assert (len(train), len(held), len(asked)) == (6, 2, 8)
    assert train.isdisjoint(held)
    assert asked.isdisjoint(train | held)
    assert {*data.query.ids.tolist()} == {*usual.query.ids.tolist()}  # the test stays what it was
    learnt = [{*one.train.ids.tolist()} | {*one.validation.ids.tolist()} for one in (usual, data)]
    assert learnt[0] == learnt[1]
    assert data.fingerprint != usual.fingerprint
    assert "validated on 2 classes that are not trained on" in data.notes[-1]
    again = build_dataset(collection, protocol, subset=Subset(validation="classes"))
    assert again.fingerprint == data.fingerprint


def test_whole_classes_do_not_validate_where_trained_classes_are_tested_or_too_few_are_left(
    make_collection: MakeCollection,
) -> None:
    collection, whole = make_collection(6, train=SIX, test=SIX), Subset(validation="classes")
    with pytest.raises(UsageError, match=r"protocol loo asks for trained ones of .*; use unseen or unseen_loo"):
        build_dataset(collection, "loo", subset=whole)
    with pytest.raises(DataError, match=r"needs 2 classes to learn from and 2 others.*there are 3 in all"):
        build_dataset(collection, "unseen", subset=whole)
    with pytest.raises(UsageError, match="leave out --validation classes"):
        Subset(labels_per_class=5, validation="classes")
