"""How far a suite is: one line that stands still on a terminal, a line an event anywhere."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from bench.suites.cost_model import Prediction
    from bench.suites.expansion import SuiteCell
    from bench.suites.runner import SuiteProgress

_CLEAR = "\r\x1b[K"


class Board:
    """Tells events on stderr, and, where that is a terminal, keeps a line below them with what runs and what is left.

    expected: what is known of each cell's time, by its folder under ``root``; slots: cells that run at once.
    """

    def __init__(self, root: Path, expected: Mapping[Path, Prediction], slots: int, *, quiet: bool) -> None:
        self._root, self._expected, self._slots, self._quiet = root, expected, slots, quiet
        self._line = not quiet and sys.stderr.isatty()
        self._told = time.monotonic()

    def tell(self, line: str) -> None:
        if not self._quiet:
            click.echo(f"{_CLEAR if self._line else ''}{line}", err=True)

    def show(self, progress: SuiteProgress) -> None:
        if self._line:
            width = shutil.get_terminal_size().columns - 1
            click.echo(f"{_CLEAR}{self.words(progress)[:width]}", err=True, nl=False)

    def close(self) -> None:
        if self._line:
            click.echo(_CLEAR, err=True, nl=False)

    def words(self, progress: SuiteProgress) -> str:
        """Return the line: cells done, failed, running, left, the time left, and what the first one running says."""
        done = sum(outcome.done for outcome in progress.outcomes)
        failed = len(progress.outcomes) - done
        parts = [f"{done} done", *([f"{failed} failed"] if failed else []), f"{len(progress.running)} running"]
        left = f"{len(progress.waiting)} left"
        if progress.elsewhere:
            left += f" ({progress.elsewhere} with another runner)"
        seconds = self._seconds_left(progress)
        parts += [left, *([f"about {duration(seconds)}"] if seconds is not None else [])]
        running = [f"{cell}, {duration(spent)}: {line}" for cell, spent, line in progress.running]
        return " | ".join([", ".join(parts), *running])

    def _seconds_left(self, progress: SuiteProgress) -> float | None:
        """Return the time left, or None before there is anything to go by."""
        left = 0.0
        for cell, spent in [
            *((cell, spent) for cell, spent, _ in progress.running),
            *((c, 0.0) for c in progress.waiting),
        ]:
            whole = self._whole(cell, progress)
            if whole is None:
                return None
            left += max(0.0, whole - spent)
        return left / max(1, min(self._slots, len(progress.running) + len(progress.waiting)))

    def _whole(self, cell: SuiteCell, progress: SuiteProgress) -> float | None:
        """Return the seconds of a cell: as predicted, else as the likest cells have taken that are done."""
        known = self._expected.get(cell.folder(self._root))
        if known is not None and known.known:
            return known.seconds
        timed = [outcome for outcome in progress.outcomes if outcome.seconds and outcome.done]
        same_data = [o for o in timed if o.cell.spec.dataset == cell.spec.dataset]
        same_method = [o for o in same_data if o.cell.spec.method == cell.spec.method]
        likest = same_method or same_data or timed
        return fmean(outcome.seconds for outcome in likest) if likest else None


def duration(seconds: float) -> str:
    """Return seconds as ``42 s``, ``12 min`` or ``3 h 05 min``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
