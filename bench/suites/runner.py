"""Running many cells: what is finished is skipped, what is half done resumes, what fails is a row and stops nothing.

A cell is done when its ``run.json`` says so; there is no other list to be wrong. So whatever is killed, and whenever,
the next start sees what is left. Runners that share a results tree claim a cell before they look at it.
"""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from bench.contract import SimbenchError, Workplace
from bench.executors.executor import LOG, Ended, Limits, Pool, from_outside
from bench.executors.process import last_line
from bench.files import ensure_writable
from bench.runs.fitting import OUT_OF_MEMORY
from bench.runs.integrity import write_sealed
from bench.runs.store import RUN_FILE, RunRecord, read_run
from bench.suites.card_room import CardRoom
from bench.suites.cell import FACTS, record_failure, sweep, why_failed
from bench.suites.expansion import SuiteCell
from bench.suites.leases import Leases

_PAUSES = (0.02, 0.2)  # seconds between two looks at the processes: a hundredth of the youngest's age, within these
_SHOW_EVERY = 0.5
_ASK_AGAIN = 1.0  # seconds until a cell that another runner has is asked for again
_CLOCKS_APART = 60.0  # seconds that another runner's clock may be ahead; a file from later yet says nothing of when
_ROOM = 1 << 20  # bytes that must be writable for a suite to go on after a failure


@dataclass(frozen=True)
class Outcome:
    """What became of a cell. record: its run; None, with a reason, where not even a failure could be recorded.

    seconds: that this runner has spent on it, 0 where it was there already, or another runner has run it.
    """

    cell: SuiteCell
    record: RunRecord | None
    reason: str = ""
    seconds: float = 0.0

    @property
    def done(self) -> bool:
        return self.record is not None and self.record.status == "done"

    @property
    def why(self) -> str:
        """The reason in one line."""
        return "; ".join(line.strip() for line in self.reason.splitlines() if line.strip()) or "no reason recorded"


@dataclass(frozen=True)
class SuiteProgress:
    """How far a suite is. running: each cell with its seconds so far and the last line of its log."""

    outcomes: Sequence[Outcome]
    running: Sequence[tuple[SuiteCell, float, str]]
    waiting: Sequence[SuiteCell]
    elsewhere: int  # of those waiting, how many another runner has


@dataclass(frozen=True)
class Reporter:
    """Who is told: ``show`` how far it is, twice a second; ``tell`` what has happened, a line at a time."""

    show: Callable[[SuiteProgress], None]
    tell: Callable[[str], None]


@dataclass
class _Work:
    """A cell that is not finished yet. beside: whether others ran with it; alone: whether none may, from now on."""

    cell: SuiteCell
    folder: Path
    tries: int = 0
    beside: bool = False
    alone: bool = False
    seconds: float = 0.0  # of all tries
    began: float = 0.0
    not_before: float = 0.0


class Runner:
    """Runs cells on an executor until each has an outcome.

    A cell that another runner has is waited for, and taken over if that one dies. Of failures, those from before
    this start are tried again, those of another runner since are not. A cell for which there is no room on the card
    waits until there is, and one that ran out of the card's memory beside others is tried once more alone.
    """

    def __init__(
        self,
        cells: Sequence[SuiteCell],
        place: Workplace,
        executor: Pool[SuiteCell],
        limits: Limits,
        reporter: Reporter,
        *,
        room: CardRoom | None = None,
    ) -> None:
        self._place, self._executor, self._limits, self._reporter = place, executor, limits, reporter
        self._room = room or CardRoom()
        self._all = [_Work(cell, cell.folder(place.root)) for cell in cells]
        self._waiting = deque(self._all)
        self._running: dict[Path, _Work] = {}
        self._outcomes: dict[Path, Outcome] = {}
        self._began = time.time()

    def run(self) -> list[Outcome]:
        """Return every cell's outcome, in the cells' order.

        Raises, with everything stopped, SimbenchError where nothing can be written any more, and KeyboardInterrupt for
        Ctrl-C, SIGTERM and SIGHUP.
        """
        leases = Leases(self._place.root)
        shown = 0.0
        try:
            with _interruptible():
                while self._waiting or self._running:
                    for cell, ended in self._executor.ended():
                        self._settle(self._running.pop(cell.folder(self._place.root)), ended, leases)
                    self._fill(leases)
                    if time.monotonic() - shown > _SHOW_EVERY:
                        shown = time.monotonic()
                        self._reporter.show(self._progress())
                    if self._waiting or self._running:
                        time.sleep(self._pause())
        finally:
            self._executor.stop()
            leases.close()
        return [self._outcomes[work.folder] for work in self._all]

    def _pause(self) -> float:
        shortest, longest = _PAUSES
        youngest = max((work.began for work in self._running.values()), default=0.0)
        return min(longest, max(shortest, (time.monotonic() - youngest) / 100))

    def _fill(self, leases: Leases) -> None:
        """Start cells while there is room, and note those that need no start."""
        now = time.monotonic()
        for _ in range(len(self._waiting)):
            if len(self._running) >= self._executor.slots:
                return
            work = self._waiting.popleft()
            if work.not_before > now:
                self._waiting.append(work)
            elif self._known(work):
                continue
            elif self._fits(work):
                self._try(work, leases)
            else:  # those behind it wait as well, or smaller ones would keep its room for ever
                self._waiting.appendleft(work)
                return

    def _try(self, work: _Work, leases: Leases) -> None:
        if not leases.take(work.folder):
            work.not_before = time.monotonic() + _ASK_AGAIN
            self._waiting.append(work)
            return
        if self._known(work):  # finished between the look and the claim
            leases.free(work.folder)
            return
        try:
            sweep(work.cell, self._place)
        except OSError as error:
            raise SimbenchError(f"cannot write to the run folder {work.folder}: {error.strerror or error}") from error
        work.tries, work.not_before = work.tries + 1, 0.0
        work.began = time.monotonic()
        self._executor.start(work.cell, work.folder)
        self._running[work.folder] = work
        if len(self._running) > 1:
            for one in self._running.values():
                one.beside = True

    def _fits(self, work: _Work) -> bool:
        """Return whether a cell may run beside those that do."""
        running = self._running.values()
        if running and (work.alone or any(one.alone for one in running)):
            return False
        return self._room.fits(work.cell, [one.cell for one in running])

    def _known(self, work: _Work) -> bool:
        """Whether a cell has its outcome already, which is then noted: it is done, or failed since this start."""
        try:
            record = read_run(work.folder)
            if record is None:
                return False
            recent = self._began <= (work.folder / RUN_FILE).stat().st_mtime <= time.time() + _CLOCKS_APART
        except FileNotFoundError:  # another runner is trying it again
            return False
        except SimbenchError as error:  # a file that is not ours to judge or to replace
            self._note(Outcome(work.cell, None, str(error)))
            return True
        if record.status != "done" and not recent:
            return False
        self._note(Outcome(work.cell, record, record.result.reason))
        return True

    def _settle(self, work: _Work, ended: Ended, leases: Leases) -> None:
        """Decide what a process that has ended means for its cell."""
        work.seconds += ended.seconds
        try:
            record = read_run(work.folder)
        except SimbenchError as error:  # damaged since it was written
            leases.free(work.folder)
            self._note(Outcome(work.cell, None, str(error), work.seconds))
            return
        if record is None and from_outside(ended) and work.tries == 1:
            self._reporter.tell(f"{work.cell}: died of a cause outside it ({_died(ended)}); once more")
            self._waiting.appendleft(work)
            leases.free(work.folder)
            return
        reason = "" if record is None else record.result.reason
        if reason.startswith(OUT_OF_MEMORY) and self._place.device.type == "cuda" and work.beside and not work.alone:
            self._reporter.tell(f"{work.cell}: {reason}; once more, alone on the card")
            sweep(work.cell, self._place)  # the failure is not its outcome
            work.alone = True
            self._waiting.appendleft(work)
            leases.free(work.folder)
            return
        if record is not None and record.status == "done":
            self._room.learn(record)
        if record is None or record.status != "done":
            ensure_writable(self._place.root, _ROOM)  # where the disk is full, every other cell would fail of it too
        if record is None:
            reason = why_failed(work.cell, ended, self._limits)
            record = record_failure(work.cell, reason, ended, self._place)
        facts = {"wall_seconds": round(work.seconds, 3), "peak_memory_bytes": ended.peak, "tries": work.tries}
        write_sealed(work.folder / FACTS, facts)
        leases.free(work.folder)
        self._note(Outcome(work.cell, record, reason, work.seconds))

    def _note(self, outcome: Outcome) -> None:
        self._outcomes[outcome.cell.folder(self._place.root)] = outcome
        if outcome.seconds:
            how = "done" if outcome.done else f"failed: {outcome.why}"
            self._reporter.tell(f"{outcome.cell}: {how} ({outcome.seconds:.1f} s)")

    def _progress(self) -> SuiteProgress:
        now = time.monotonic()
        running = [(w.cell, now - w.began, last_line(w.folder / LOG)) for w in self._running.values()]
        elsewhere = sum(work.not_before > 0 for work in self._waiting)
        return SuiteProgress(tuple(self._outcomes.values()), running, [work.cell for work in self._waiting], elsewhere)


def _died(ended: Ended) -> str:
    return {"oom": "the system had no memory left", "lost": ended.words}.get(ended.cause) or f"signal {ended.code}"


@contextmanager
def _interruptible() -> Iterator[None]:
    """Make SIGTERM and SIGHUP end the work as Ctrl-C does; one that is ignored (``nohup``) stays so."""

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    heard = [one for one in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(one) is not signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
