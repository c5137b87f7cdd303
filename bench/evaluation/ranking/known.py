"""What a caller knows of queries and gallery beside their vectors: labels or positives, ids, groups, ignored items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from bench.contract import UsageError
from bench.evaluation.ranking.arrays import Ints, Names
from bench.evaluation.ranking.given_lists import as_lists, refuse_both, several, sharing
from bench.evaluation.ranking.lists import Lists
from bench.evaluation.ranking.relevance import Layout, as_names, build_layout, number_names

if TYPE_CHECKING:
    from bench.evaluation.ranking.given_lists import GainsLike, ListsLike
    from bench.evaluation.ranking.relevance import NamesLike

    Given: TypeAlias = tuple[NamesLike | None, NamesLike | None]
Numbers: TypeAlias = tuple[Ints, Ints]
NOTHING: tuple[None, None] = (None, None)


@dataclass(frozen=True)
class Known:
    """Each pair is of queries and gallery, int64 ``(q,)`` and ``(N,)``; equal numbers are equal names.

    labels: all 0 where positives are given. groups: -1 is none. positives, ignored: lists of gallery positions.
    """

    labels: Numbers
    ids: Numbers | tuple[None, None]
    groups: Numbers | None
    positives: Lists | None
    ignored: Lists | None

    @classmethod
    def of(
        cls,
        sizes: tuple[int, int],
        *,
        labels: Given,
        ids: Given = NOTHING,
        groups: Given = NOTHING,
        positives: ListsLike | None = None,
        gains: GainsLike | None = None,
        ignore: ListsLike | None = None,
    ) -> Known:
        """Check what ``bench.evaluate`` is given. sizes: q and N."""
        names = _both(ids, sizes, "ids")
        known = number_names(*names, "ids") if names is not None else NOTHING
        gallery = sizes[1] if names is None else names[1]
        if gains is not None and positives is None:
            raise UsageError("gains given without positives: they say what each of the positives is worth")
        listed = None if positives is None else as_lists(positives, "positives", sizes[0], gallery, gains)
        if listed is None and any(map(several, labels)):
            listed, labels = sharing(labels, sizes), NOTHING
        ignored = None if ignore is None else as_lists(ignore, "ignore", sizes[0], gallery)
        if listed is not None and ignored is not None:
            refuse_both(listed, ignored)
        return cls(_labels(labels, sizes, listed), known, _groups(groups, sizes, listed), listed, ignored)

    def layout(self) -> Layout:
        """Return who is relevant to whom."""
        return build_layout(*self.labels, *self.ids, groups=self.groups, ignored=self.ignored, positives=self.positives)


def _labels(labels: Given, sizes: tuple[int, int], positives: Lists | None) -> Numbers:
    if positives is None:
        found = _both(labels, sizes, "labels")
        if found is None:
            raise UsageError("give labels of queries and gallery, or the positives of each query")
        return number_names(*found, "labels")
    if labels != NOTHING:
        raise UsageError(
            "give labels or positives, not both: with positives, labels decide nothing (None in their place)"
        )
    return np.zeros(sizes[0], dtype=np.int64), np.zeros(sizes[1], dtype=np.int64)


def _groups(groups: Given, sizes: tuple[int, int], positives: Lists | None) -> Numbers | None:
    found = _both(groups, sizes, "groups")
    if found is None:
        return None
    if positives is not None:
        raise UsageError("groups go with labels; with positives, say what is ignored in their place")
    asked, there = number_names(*found, "groups")
    if found[0].dtype.kind == "U":
        asked, there = (np.where(name == "", -1, number) for name, number in zip(found, (asked, there), strict=True))
    return asked, there


def _both(given: Given, sizes: tuple[int, int], what: str) -> tuple[Names, Names] | None:
    """Return names of both sides, checked; None where neither is given. Raises UsageError for one side alone."""
    if given[0] is None and given[1] is None:
        return None
    if given[0] is None or given[1] is None:
        there, missing = ("gallery", "query") if given[0] is None else ("query", "gallery")
        why = "so that self-matches can be excluded" if what == "ids" else "they are compared"
        raise UsageError(f"{there}_{what} given without {missing}_{what}: give both, {why}")
    return as_names(given[0], sizes[0], f"query {what}"), as_names(given[1], sizes[1], f"gallery {what}")
