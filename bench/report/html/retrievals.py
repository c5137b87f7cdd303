"""What methods answer to the same queries: the best, typical and worst ones, named as such, so that none is picked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.evaluation.ranking.arrays import Floats, Ints
from bench.report.html.thumbnails import Pictures, Tile
from bench.report.tables.groups import Answers, Row

NEIGHBORS = 8
_EACH = 2  # queries of a kind
KINDS = ("best", "typical", "worst")


@dataclass(frozen=True)
class Found:
    """One neighbour: its place, whether it answers the query, its class, id, similarity and picture."""

    rank: int
    right: bool
    label: str
    id: str
    similarity: float
    tile: Tile | None


@dataclass(frozen=True)
class Answer:
    """What one method answers to a query: the first neighbours, how many of them are right, average precision."""

    row: Row
    precision: float
    found: tuple[Found, ...]

    @property
    def right(self) -> int:
        return sum(one.right for one in self.found)


@dataclass(frozen=True)
class Question:
    """A query, why it is shown, and every method's answer. precision: the mean of the methods' average precisions."""

    kind: str
    id: str
    label: str
    position: int
    precision: float
    tile: Tile | None
    answers: tuple[Answer, ...]


def choose(precision: Floats, labels: Ints, *, each: int = _EACH) -> list[tuple[str, int]]:
    """Return (kind, query) for the best, the typical (nearest the median) and the worst queries, in that order.

    precision: float64 ``(q,)``, NaN where there is nothing to find: never chosen. The queries of a kind are of
    different classes where there are enough; of equals the first is taken.
    """
    known = np.flatnonzero(~np.isnan(precision))
    values = precision[known]
    badness_of = dict(zip(KINDS, (-values, np.abs(values - np.median(values)), values), strict=True))
    chosen: list[tuple[str, int]] = []
    for kind in (KINDS[0], KINDS[2], KINDS[1]):  # the extremes first: with few queries the typical ones are extreme
        badness = badness_of[kind]
        taken = {query for _, query in chosen}
        free = [at for at in known[np.argsort(badness, kind="stable")].tolist() if at not in taken]
        firsts: dict[int, int] = {}  # of each class
        for at in free:
            firsts.setdefault(int(labels[at]), at)
        leading = list(firsts.values())[:each]
        ordered = leading + [at for at in free[: 2 * each] if at not in leading]
        chosen += [(kind, at) for at in ordered[:each]]
    return sorted(chosen, key=lambda one: KINDS.index(one[0]))


def questions(
    answers: Mapping[Row, Answers], pictures: Pictures | None, kinds: Sequence[str] = KINDS
) -> list[Question]:
    """Return the shown queries of some kinds with every row's answer. answers: of rows that were all asked the same."""
    first = next(iter(answers.values()))
    precision = np.stack([found.precision for found in answers.values()]).mean(axis=0)
    return [
        Question(
            kind,
            str(first.ids[at]),
            first.classes[first.labels[at]],
            at,
            float(precision[at]),
            pictures.query(at) if pictures else None,
            tuple(answer_of(row, found, at, pictures) for row, found in answers.items()),
        )
        for kind, at in choose(precision, first.labels)
        if kind in kinds
    ]


def answer_of(row: Row, answers: Answers, query: int, pictures: Pictures | None) -> Answer:
    """Return one row's first neighbours of one query."""
    near = answers.neighbors[query, :NEIGHBORS]
    right = answers.right(np.full(len(near), query), near)
    found = [
        Found(
            rank,
            bool(right[rank - 1]),
            answers.classes[answers.gallery_labels[at]],
            str(answers.gallery_ids[at]),
            float(answers.similarities[query, rank - 1]),
            pictures.item(at) if pictures else None,
        )
        for rank, at in enumerate(near.tolist(), start=1)
        if at >= 0
    ]
    return Answer(row, float(answers.precision[query]), tuple(found))


def comparable(answers: Sequence[tuple[Row, Answers]]) -> tuple[dict[Row, Answers], list[str]]:
    """Return the rows that were asked the same as the first, and the names of the others."""
    same = {row: found for row, found in answers if found.same_questions(answers[0][1])}
    return same, [row.name for row, _ in answers if row not in same]
