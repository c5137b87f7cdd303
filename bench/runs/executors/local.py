"""Cells as processes of this machine: one after another, or several side by side."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.runs.cell import as_job
from bench.runs.executors.executor import LOG, Ended, Limits
from bench.runs.executors.process import CellProcess
from bench.runs.expansion import SuiteCell
from bench.runs.run import Workplace

_GRACE = 3.0  # seconds that an interrupted cell has to put its things away
_PAUSE = 0.02


class LocalExecutor:
    """Up to ``jobs`` processes at once, forked where that is safe (see `bench.runs.cell`), else fresh.

    datasets: the options that bench.toml gives to data sets, for fresh processes to load them again.
    """

    def __init__(
        self,
        place: Workplace,
        limits: Limits,
        *,
        jobs: int = 1,
        datasets: Mapping[str, Mapping[str, Any]] | None = None,
        fork: bool | None = None,
    ) -> None:
        self.slots = jobs
        self._place, self._limits, self._datasets = place, limits, datasets or {}
        self._fork = sys.platform == "linux" and place.device.type == "cpu" if fork is None else fork
        self._running: list[tuple[SuiteCell, CellProcess]] = []

    def start(self, cell: SuiteCell, folder: Path) -> None:
        log = folder / LOG
        if self._fork:
            process = CellProcess.forked(cell, self._place, self._limits, log)
        else:
            process = CellProcess.spawned(as_job(cell, self._place, self._datasets), self._limits, log)
        self._running.append((cell, process))

    def ended(self) -> Sequence[tuple[SuiteCell, Ended]]:
        found = [(cell, process, process.check()) for cell, process in self._running]
        self._running = [(cell, process) for cell, process, end in found if end is None]
        return [(cell, end) for cell, _, end in found if end is not None]

    def stop(self) -> None:
        for _, process in self._running:
            process.interrupt()
        deadline = time.monotonic() + _GRACE
        try:
            while self._running and time.monotonic() < deadline:
                self.ended()
                time.sleep(_PAUSE)
        finally:  # a second Ctrl-C does not wait
            for _, process in self._running:
                process.kill()
            while self._running:
                self.ended()
                time.sleep(_PAUSE)
