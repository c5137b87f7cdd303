"""Draws of the unseen classes: every image of them asks, the second half in order is a draw, parts are pooled."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bench.contract import Collection, UsageError
from bench.data.splits.protocols import build_dataset

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
