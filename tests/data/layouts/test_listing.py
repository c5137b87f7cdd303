"""A summary counts what is there, and tells what can be done with it."""

from __future__ import annotations

from collections.abc import Callable

from bench.contract import Collection, ImageShape
from bench.data.layouts.listing import PartSummary, summarise

MakeCollection = Callable[..., Collection]


def test_parts_classes_shape_and_imbalance_are_counted(make_collection: MakeCollection) -> None:
    summary = summarise(make_collection(3, train=[0, 0, 0, 0, 1, 1, 2], test=[0, 0, 1, 1, 2]))
    assert summary.name == "toy"
    assert summary.shape == ImageShape(2, 2, 1)
    assert summary.classes == ("class 0", "class 1", "class 2")
    assert dict(summary.parts) == {"train": PartSummary(7, 3, 1, 2.0, 4), "test": PartSummary(5, 3, 1, 2.0, 2)}
    assert summary.imbalance == 4.0
    assert summary.thin == ("class 2",)


def test_the_possible_protocols_are_told_and_why_the_others_are_not(make_collection: MakeCollection) -> None:
    summary = summarise(make_collection(train=[0, 1], test=[0, 0, 1, 1]))
    assert summary.protocols == ("holdout", "loo", "database")
    assert "needs a query and a gallery part" in summary.obstacles["given"]


def test_unseen_classes_are_possible_from_four_classes_on(make_collection: MakeCollection) -> None:
    assert "unseen" in summarise(make_collection(4, train=[0, 1, 2, 3], test=[0, 1, 2, 3] * 2)).protocols
    assert "needs 4 classes" in summarise(make_collection(3, train=[0, 1, 2], test=[0, 1, 2] * 2)).obstacles["unseen"]


def test_of_data_with_its_own_queries_thin_classes_are_those_without_gallery(make_collection: MakeCollection) -> None:
    summary = summarise(make_collection(3, train=[0, 1], query=[0, 1, 2], gallery=[0, 1]))
    assert summary.thin == ("class 2",)
    assert summary.protocols == ("given",)


def test_an_empty_part_is_counted_as_empty(make_collection: MakeCollection) -> None:
    summary = summarise(make_collection(train=[0, 1], validation=[], test=[0, 0, 1, 1]))
    assert summary.parts["validation"] == PartSummary(0, 0, 0, 0.0, 0)
