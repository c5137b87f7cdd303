"""Who answers whom where one label does not say it: lists of gallery ids, one a query."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from bench.contract.errors import DataError, UsageError

IdLists: TypeAlias = tuple[tuple[str, ...], ...]
NumberLists: TypeAlias = tuple[tuple[float, ...], ...]
_KINDS = ("easy", "hard", "junk")
_ANSWER = {"easy": ("easy",), "medium": ("easy", "hard"), "hard": ("hard",)}


@dataclass(frozen=True)
class Relevance:
    """What each of q queries looks for and what it may not see, by gallery id.

    Attributes:
        positives: The items that answer each query, q tuples, in any order; one may be empty. None: the items with its
            label do. Where they are given, labels of queries and gallery decide nothing.
        ignored: The items that are no answer and no mistake either (junk, other difficulties), q tuples; they are taken
            out of that query's ranking. None: no item is.
        gains: What each of the positives is worth, as many numbers a query, in their order; ``ndcg@k`` goes by them.
            An item of gain 0 is no answer, and is taken off the list. None: all are worth the same.

    Raises:
        DataError: Neither positives nor ignored items are given, they are of different lengths, or an item is both to a
            query; gains do not fit the positives, or one is negative or not finite.

    Example:
        >>> asked = Relevance(positives=(("a", "b"), ("c",)), ignored=((), ("a",)))
        >>> asked.among({"a", "c"}).positives
        (('a',), ('c',))
    """

    positives: IdLists | None = None
    ignored: IdLists | None = None
    gains: NumberLists | None = None

    def __post_init__(self) -> None:
        if self.gains is not None:
            self._drop_worthless(self.gains)
        if len({len(lists) for lists in self._given}) != 1:
            sizes = " and ".join(str(len(lists)) for lists in self._given)
            raise DataError(
                f"relevance needs lists of positives or of ignored items, one a query each, got {sizes or 0}"
            )
        for row, (found, passed) in enumerate(zip(self.positives or (), self.ignored or (), strict=False)):
            both = set(found).intersection(passed)
            if both:
                raise DataError(f"query {row}: {min(both)!r} is both positive and ignored; it can be one of them")

    @classmethod
    def revisited(
        cls, ground_truth: Sequence[Mapping[str, Sequence[int]]], names: Sequence[str], difficulty: str
    ) -> Relevance:
        """Return what revisited Oxford and Paris ask at a difficulty.

        Easy: the easy ones answer, and the hard ones and junk are ignored. Medium: easy and hard ones answer, junk is
        ignored. Hard: the hard ones answer, easy ones and junk are ignored. Source: Radenović et al., Revisiting Oxford
        and Paris, CVPR 2018.

        Args:
            ground_truth: For each query the lists ``easy``, ``hard`` and ``junk``, numbers into ``names``.
            names: The gallery's ids.
            difficulty: "easy", "medium" or "hard".

        Raises:
            UsageError: Another difficulty.
            DataError: A list is missing, or a number is no image's.
        """
        if difficulty not in _ANSWER:
            raise UsageError(f"unknown difficulty {difficulty!r} (known: {', '.join(_ANSWER)})")
        answer = _ANSWER[difficulty]
        passed = [kind for kind in _KINDS if kind not in answer]
        positives, ignored = (
            tuple(
                tuple(name for kind in kinds for name in _named(row, truth, kind, names))
                for row, truth in enumerate(ground_truth)
            )
            for kinds in (answer, passed)
        )
        return cls(positives, ignored)

    def __len__(self) -> int:
        return len(self._given[0])

    @property
    def named(self) -> set[str]:
        """Every id that a list names."""
        return {one for lists in self._given for ids in lists for one in ids}

    def subset(self, queries: Iterable[int]) -> Relevance:
        """Return the lists of some queries, by row number."""
        rows = [int(row) for row in queries]
        positives, ignored = (lists and tuple(lists[row] for row in rows) for lists in (self.positives, self.ignored))
        return Relevance(positives, ignored, self.gains and tuple(self.gains[row] for row in rows))

    def among(self, gallery: Container[str]) -> Relevance:
        """Return the lists without the items that are not in a gallery."""
        positives, ignored = (
            lists and tuple(tuple(one for one in ids if one in gallery) for ids in lists)
            for lists in (self.positives, self.ignored)
        )
        gains = self.gains and tuple(
            tuple(gain for one, gain in zip(ids, worth, strict=True) if one in gallery)
            for ids, worth in zip(self.positives or (), self.gains, strict=True)
        )
        return Relevance(positives, ignored, gains)

    def _drop_worthless(self, gains: NumberLists) -> None:
        """Check the gains and take items that are worth nothing off the lists."""
        if self.positives is None or list(map(len, self.positives)) != list(map(len, gains)):
            raise DataError("gains are one number for each of the positives; they do not fit each other")
        for row, worth in enumerate(gains):
            wrong = [gain for gain in worth if not (math.isfinite(gain) and gain >= 0)]
            if wrong:
                raise DataError(f"query {row}: the gain {wrong[0]:g} is not a finite number of 0 or more")
        if all(all(worth) for worth in gains):
            return
        kept = tuple(
            tuple(one for one, gain in zip(ids, worth, strict=True) if gain)
            for ids, worth in zip(self.positives, gains, strict=True)
        )
        object.__setattr__(self, "positives", kept)
        object.__setattr__(self, "gains", tuple(tuple(gain for gain in worth if gain) for worth in gains))

    @property
    def _given(self) -> list[IdLists]:
        return [lists for lists in (self.positives, self.ignored) if lists is not None]


def _named(row: int, truth: Mapping[str, Sequence[int]], kind: str, names: Sequence[str]) -> list[str]:
    """Return the ids of one list of the ground truth."""
    if kind not in truth:
        raise DataError(f"ground truth of query {row}: no list {kind!r} (needed: {', '.join(_KINDS)})")
    strange = [number for number in truth[kind] if not 0 <= number < len(names)]
    if strange:
        raise DataError(f"ground truth of query {row}: {kind} has {strange[0]}, but there are {len(names)} images")
    return [names[number] for number in truth[kind]]
