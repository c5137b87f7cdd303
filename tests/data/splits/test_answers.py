"""Groups and lists say how many items answer a query, go through protocols and subsets, and are in the fingerprint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from bench.contract import Collection, DataError, Relevance, Split
from bench.data.splits.answers import relevant_items
from bench.data.splits.protocols import build_dataset
from bench.data.splits.subsets import Subset

MakeSplit = Callable[..., Split]
MakeCollection = Callable[..., Collection]


def grouped(part: Split, groups: list[str]) -> Split:
    return replace(part, groups=np.array(groups, np.str_))


def plain_count(query: Split, gallery: Split, row: int) -> int:
    relevance = query.relevance
    positives = None if relevance is None else relevance.positives
    ignored = () if relevance is None or relevance.ignored is None else relevance.ignored[row]
    count = 0
    for item, one in enumerate(gallery.ids):
        same = query.labels[row] == gallery.labels[item]
        groups = (
            ("", "") if query.groups is None or gallery.groups is None else (query.groups[row], gallery.groups[item])
        )
        group = groups[0] != "" and groups[0] == groups[1]
        hidden = one == query.ids[row] or one in ignored or (same and group)
        count += (same if positives is None else one in positives[row]) and not hidden
    return count


@pytest.mark.parametrize("seed", range(30))
def test_relevant_items_are_those_of_a_loop_over_all_pairs(make_split: MakeSplit, seed: int) -> None:
    rng = np.random.default_rng(seed)
    query, gallery = (make_split(rng.integers(0, 3, n).tolist()) for n in (6, 12))  # ids 0..5 are on both sides
    if seed % 3 == 0:
        query, gallery = (grouped(one, rng.choice(["", "a", "b"], len(one)).tolist()) for one in (query, gallery))
    kinds = [rng.choice(3, size=12, p=[0.5, 0.3, 0.2]) for _ in range(6)]
    positives, ignored = (tuple(tuple(gallery.ids[kind == one]) for kind in kinds) for one in (1, 2))
    lists = [None, Relevance(ignored=ignored), Relevance(positives, ignored)][(0, 1, 2)[seed // 3 % 3]]
    if query.groups is not None and lists is not None:
        lists = Relevance(ignored=ignored)
    query = replace(query, relevance=lists)
    assert relevant_items(query, gallery).tolist() == [plain_count(query, gallery, row) for row in range(6)]


def listed(make_collection: MakeCollection) -> Collection:
    whole = make_collection(train=[0, 1] * 10, query=[0, 1, 2], gallery=[0, 1, 2] * 20)
    assert whole.query is not None
    lists = Relevance(tuple((f"gallery/{row}", f"gallery/{row + 30}") for row in range(3)), ((), ("gallery/9",), ()))
    return replace(whole, query=replace(whole.query, relevance=lists))


def test_lists_are_kept_by_given_and_told_in_the_notes(make_collection: MakeCollection) -> None:
    data = build_dataset(listed(make_collection))
    assert data.query.relevance is not None
    assert relevant_items(data.query, data.gallery).tolist() == [2, 2, 2]
    assert "lists say what answers a query" in data.notes[-2]
    assert data.notes[-1].startswith("1 pairs of a query and an item are ignored")


def test_a_limit_takes_items_out_of_the_lists(make_collection: MakeCollection) -> None:
    data = build_dataset(listed(make_collection), subset=Subset(limit=30))
    there = set(data.gallery.ids.tolist())
    assert data.query.relevance is not None
    assert data.query.relevance.positives is not None
    assert [set(found) for found in data.query.relevance.positives] == [
        {f"gallery/{row}", f"gallery/{row + 30}"} & there for row in range(3)
    ]


def test_lists_and_groups_are_part_of_the_fingerprint(make_collection: MakeCollection) -> None:
    whole = listed(make_collection)
    assert whole.query is not None
    assert whole.gallery is not None
    lists = whole.query.relevance
    assert lists is not None
    assert lists.positives is not None
    turned = Relevance(tuple(found[::-1] for found in lists.positives), lists.ignored)
    swapped = Relevance(lists.positives[::-1], lists.ignored)
    seen = [
        build_dataset(replace(whole, query=replace(whole.query, relevance=one))).fingerprint
        for one in (None, lists, turned, swapped)
    ]
    cameras = [grouped(part, ["a"] * (len(part) - 1) + ["b"]) for part in (whole.query, whole.gallery)]
    plain = replace(cameras[0], relevance=None)
    seen.append(build_dataset(replace(whole, query=plain, gallery=cameras[1])).fingerprint)
    assert seen[1] == seen[2]
    assert len(set(seen)) == 4


def test_groups_on_one_side_only_are_refused(make_collection: MakeCollection) -> None:
    whole = make_collection(train=[0, 1], query=[0, 1], gallery=[0, 1])
    assert whole.query is not None
    with pytest.raises(DataError, match="queries and gallery both have groups, or neither"):
        build_dataset(replace(whole, query=grouped(whole.query, ["a", "b"])))


def test_queries_whose_answers_are_all_of_their_own_group_are_refused(make_collection: MakeCollection) -> None:
    whole = make_collection(train=[0, 1], test=[0, 0, 1, 1])
    assert whole.test is not None
    with pytest.raises(DataError, match="no query has another image of its class in the gallery outside of its group"):
        build_dataset(replace(whole, test=grouped(whole.test, ["a"] * 4)), "loo")


def test_a_leave_one_out_of_groups_keeps_them_on_both_sides(make_collection: MakeCollection) -> None:
    whole = make_collection(train=[0, 1], test=[0, 0, 0, 1, 1])
    assert whole.test is not None
    data = build_dataset(replace(whole, test=grouped(whole.test, ["a", "a", "b", "a", "b"])), "loo")
    assert relevant_items(data.query, data.gallery).tolist() == [1, 1, 2, 1, 1]
