"""A table's rows compared pair by pair on the same queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.contract import DataError
from bench.evaluation.arrays import Floats
from bench.evaluation.comparison import Comparison, compare
from bench.report.entries import Entry, Queries, entry_of
from bench.report.page.groups import RANKED_BY, Row


@dataclass(frozen=True)
class Rival:
    """Another row against a winner. found: the winner's values less its own; None where no test can be made."""

    row: Row
    behind: float
    found: Comparison | None

    @property
    def separable(self) -> bool:
        """Whether the two can be told apart at 5 %, corrected for all that the winner was compared with."""
        return self.found is not None and self.found.separable


class Paired:
    """The per-query values of a table's rows, read once; rows that were asked other queries are left untested."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._values: dict[Row, Floats] = {}
        self.queries: Queries | None = None
        where = None
        for row in sorted(rows, key=lambda row: -mean(row)):
            entry = entry_of(row.records)
            try:
                asked, values = _read(entry)
            except DataError:
                continue
            if self.queries is None:
                self.queries, where = asked, entry.where
            if asked.same_as(self.queries) and entry.where == where:
                self._values[row] = values
        self._known: dict[tuple[Row, tuple[Row, ...]], list[Rival]] = {}

    def rivals(self, winner: Row, others: Sequence[Row]) -> list[Rival]:
        """Return each of the others against the winner, in their order; Holm's correction is over all of them."""
        key = (winner, tuple(others))
        if key not in self._known:
            self._known[key] = self._compared(winner, others)
        return self._known[key]

    def _compared(self, winner: Row, others: Sequence[Row]) -> list[Rival]:
        tested: list[Row] = []
        found: list[Comparison] = []
        if self.queries is not None and winner in self._values:
            tested = [row for row in others if row in self._values]
            values = [-self._values[row] for row in tested]
            try:  # signs are turned, so that a difference is the winner's value less the other's
                found = compare(-self._values[winner], values, self.queries.labels)
            except DataError:  # queries without a value in one of them only
                tested = []
        by_row = dict(zip(tested, found, strict=True))
        return [Rival(row, mean(winner) - mean(row), by_row.get(row)) for row in others]


def mean(row: Row) -> float:
    """Return a row's mean of the metric that tables are ranked by."""
    return row.mean(RANKED_BY) or 0.0


def _read(entry: Entry) -> tuple[Queries, Floats]:
    return entry.queries(), entry.values(RANKED_BY)
