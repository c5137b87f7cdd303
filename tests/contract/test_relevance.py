"""Lists of positives and ignored items belong to the queries, name what is in the gallery, and go where these go."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.contract import Collection, DataError, Images, Relevance, Split


def part(ids: list[str], relevance: Relevance | None = None, groups: list[str] | None = None) -> Split:
    pixels = np.zeros((len(ids), 4, 4, 1), np.uint8)
    cameras = None if groups is None else np.array(groups, np.str_)
    return Split(Images(pixels), np.arange(len(ids)) % 2, np.array(ids, np.str_), cameras, relevance)


def collection(relevance: Relevance, groups: list[str] | None = None) -> Collection:
    asked = part(["p", "q"], relevance, groups)
    return Collection("toy", ("one", "two"), train=part(["x", "y"]), query=asked, gallery=part(["a", "b", "c"]))


@pytest.mark.parametrize(
    ("positives", "ignored", "said"),
    [
        (None, None, "relevance needs lists of positives or of ignored items, one a query each, got 0"),
        ((("a",),), ((), ()), "got 1 and 2"),
        ((("a",), ("b", "c")), ((), ("c", "a")), "query 1: 'c' is both positive and ignored"),
    ],
)
def test_lists_that_do_not_fit_each_other_are_refused(
    positives: tuple[tuple[str, ...], ...] | None, ignored: tuple[tuple[str, ...], ...] | None, said: str
) -> None:
    with pytest.raises(DataError, match=said):
        Relevance(positives, ignored)


def test_lists_for_another_number_of_queries_are_refused() -> None:
    with pytest.raises(DataError, match="2 images, but relevance of 1 queries"):
        part(["p", "q"], Relevance(positives=(("a",),)))


def test_an_id_that_is_not_in_the_gallery_is_refused() -> None:
    with pytest.raises(DataError, match="toy: its relevance names 'z', which is not in the gallery"):
        collection(Relevance(positives=(("a",), ("b",)), ignored=(("z",), ())))


def test_positives_beside_groups_are_refused() -> None:
    with pytest.raises(DataError, match="groups and positives; list what is ignored"):
        collection(Relevance(positives=(("a",), ("b",))), groups=["1", "2"])


def test_relevance_of_a_part_that_asks_nothing_is_refused() -> None:
    whole = collection(Relevance(positives=(("a",), ("b",))))
    with pytest.raises(DataError, match="toy: its train part has relevance"):
        replace(whole, train=part(["x", "y"], Relevance(ignored=((), ()))))


def test_a_subset_takes_its_lists_and_groups_along() -> None:
    some = part(["p", "q"], Relevance((("a",), ("b",)), (("b",), ())), ["left", ""]).subset(np.array([1, 0]))
    assert some.groups is not None
    assert some.groups.tolist() == ["", "left"]
    assert some.relevance == Relevance((("b",), ("a",)), ((), ("b",)))


def test_what_leaves_the_gallery_leaves_the_lists() -> None:
    asked = part(["p", "q"], Relevance(positives=(("a", "b"), ("b",))))
    assert asked.answered_by(np.array(["a", "c"])).relevance == Relevance(positives=(("a",), ()))
