"""The order in which time is spent: each rung once, then those still in question again, then the best for longer.

One rule ends what is hopeless: what one run shows to be behind the best, by the test of the tables, gets no more time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from bench.choose.rungs import Rung
from bench.config import duration
from bench.runs.store import RunRecord
from bench.suites.cost_model import Prediction

_SHARES = (1.0, 0.5, 0.25)  # of a training that are tried for size, so that a second start finds the same runs
_SAFE = 0.9  # of the time left that may be planned for: predictions are that uncertain
_OVER = 0.05  # of the budget, by which a run that takes longer than predicted may go beyond it
_LEAST = 0.02  # of the budget: with less left, nothing is begun
SEEDS = (1, 2)  # after seed 0


@dataclass(frozen=True)
class Result:
    """A rung, with the epochs that there was time for, and its run with one seed."""

    rung: Rung
    record: RunRecord


@dataclass(frozen=True)
class LeftOut:
    """A rung without a result. why: in one line; need: seconds that it would take, where there was no time for it."""

    rung: Rung
    seed: int
    why: str
    need: float | None = None


class Workshop(Protocol):
    """Where rungs are run."""

    def predict(self, rung: Rung, seed: int, seconds: float) -> Prediction:
        """Return what a run will take; nothing where it is there already. seconds: that finding it out may take."""
        ...

    def run(self, rung: Rung, seed: int, expected: Prediction, seconds: float) -> RunRecord | str:
        """Return the finished run, or why there is none. seconds: after which it is stopped, to be resumed later."""
        ...

    def in_question(self, records: Sequence[RunRecord]) -> Sequence[RunRecord]:
        """Return the runs of the best row and of those that cannot be told from it, the best first."""
        ...


@dataclass
class Climb:
    """What has been tried so far. budget: seconds; now: the clock."""

    budget: float
    workshop: Workshop
    tell: Callable[[str], None]
    now: Callable[[], float] = time.monotonic
    results: list[Result] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._began = self.now()

    @property
    def left(self) -> float:
        """Seconds left of the budget."""
        return self.budget - (self.now() - self._began)

    @property
    def records(self) -> list[RunRecord]:
        return [one.record for one in self.results]

    def all(self, rungs: Iterable[Rung]) -> None:
        """Try every rung once, then those in question with more seeds, then the best for longer."""
        for rung in rungs:
            self._try(rung, 0, _SHARES)
        for seed in SEEDS:
            for rung in self._in_question():
                if rung.learns:
                    self._try(rung, seed)
        best = next(iter(self._in_question()), None)
        if best is not None and best.learns:
            self._try(best.longer(), 0)

    def _in_question(self) -> list[Rung]:
        """Return the rungs of the best row and of those that cannot be told from it, the best first."""
        rungs = {one.record.folder: one.rung for one in self.results}
        return list(dict.fromkeys(rungs[record.folder] for record in self.workshop.in_question(self.records)))

    def _try(self, rung: Rung, seed: int, shares: Sequence[float] = (1.0,)) -> None:
        """Run a rung if there is time for one of these shares of its epochs, the largest."""
        if self.left < _LEAST * self.budget:
            self._leave_out(LeftOut(rung, seed, "no time was left", 0.0))
            return
        expected = self.workshop.predict(rung, seed, self.left)
        if not expected.known:
            self._leave_out(LeftOut(rung, seed, expected.source))
            return
        room = _SAFE * self.left
        share = next((one for one in shares if expected.fixed + one * expected.per_epoch * rung.epochs <= room), None)
        if share is None:
            need, left = expected.fixed + expected.per_epoch * rung.epochs, max(0.0, self.left)
            why = f"it would take about {duration(need)}, and {duration(left)} were left"
            self._leave_out(LeftOut(rung, seed, why, need))
            return
        tried = replace(rung, epochs=share * rung.epochs)
        expected = replace(expected, epochs=tried.epochs)
        found = self.workshop.run(tried, seed, expected, self.left + _OVER * self.budget)
        if isinstance(found, str) and self.left <= 0:
            self._leave_out(LeftOut(tried, seed, "stopped when the time was over; a second start resumes it", 0.0))
        elif isinstance(found, str):
            self._leave_out(LeftOut(tried, seed, found))
        else:
            self.results.append(Result(tried, found))

    def _leave_out(self, one: LeftOut) -> None:
        self.left_out.append(one)
        self.tell(f"{one.rung.named(one.seed)}: left out ({one.why})")
