"""Jobs as processes of this machine: one after another, or several side by side."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Generic

from bench.executors.executor import LOG, Ended, J, Limits, Program
from bench.executors.process import JobProcess

_GRACE = 3.0  # seconds that an interrupted job has to put its things away
_PAUSE = 0.02


class LocalPool(Generic[J]):
    """Up to ``jobs`` processes at once, forked where that is safe (see `bench.executors.child`), else fresh."""

    def __init__(self, program: Program[J], limits: Limits, *, jobs: int = 1, fork: bool | None = None) -> None:
        self.slots = jobs
        self._program, self._limits = program, limits
        self._fork = sys.platform == "linux" and program.place.device.type == "cpu" if fork is None else fork
        self._running: list[tuple[J, JobProcess]] = []

    def start(self, job: J, folder: Path) -> None:
        log = folder / LOG
        if self._fork:
            process = JobProcess.forked(lambda: self._program.run(job), self._limits, log)
        else:
            process = JobProcess.spawned(self._program.as_json(job), self._limits, log)
        self._running.append((job, process))

    def ended(self) -> Sequence[tuple[J, Ended]]:
        found = [(job, process, process.check()) for job, process in self._running]
        self._running = [(job, process) for job, process, end in found if end is None]
        return [(job, end) for job, _, end in found if end is not None]

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
