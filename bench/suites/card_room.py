"""Which cells fit side by side on one card, whose memory they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.runs.store import RunRecord
from bench.suites.cell import held_on_card
from bench.suites.cost_model import kind_of
from bench.suites.expansion import SuiteCell

_USED = 0.95  # of a card's memory, what is given to cells: the rest is the driver's


class CardRoom:
    """The memory of a card, shared among the cells that run on it at once.

    size: of the card, in bytes; 0 where there is none, so that all fit. slots: how many cells run at once at most; one
    of which nothing is known is taken to need its share. expected: bytes that cells are predicted to hold, by kind
    (``cost_model.kind_of``).
    """

    def __init__(self, size: int = 0, slots: int = 1, expected: Mapping[str, int] | None = None) -> None:
        self._room = int(_USED * size)
        self._share = self._room // slots
        self._held = dict(expected or {})

    def fits(self, cell: SuiteCell, beside: Sequence[SuiteCell]) -> bool:
        """Return whether there is room for a cell beside those that run. One alone is always given its try."""
        return not beside or not self._room or sum(map(self._needs, [cell, *beside])) <= self._room

    def learn(self, run: RunRecord) -> None:
        """Take from a finished run what others of its kind, as with another seed, will hold."""
        kind = kind_of(run.result.spec)
        self._held[kind] = max(held_on_card(run), self._held.get(kind, 0))

    def _needs(self, cell: SuiteCell) -> int:
        return self._held.get(kind_of(cell.spec), 0) or self._share
