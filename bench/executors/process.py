"""Jobs as processes of this machine, one or several at once, and one as its parent sees it: limits, end, memory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Generic, Literal

from bench.executors.child import fork, limit_memory
from bench.executors.executor import LOG, Ended, J, Limits, Program
from bench.executors.memory import WATCHED, held_by, held_together, kills_for_memory, session_of

_LOOK_FOR_CHILDREN = 1.0  # seconds between two readings of the whole process table
_GRACE = 3.0  # seconds that an interrupted job has to put its things away
_PAUSE = 0.02
_TAIL = 4096  # bytes of a log in which its last line is looked for


class JobProcess:
    """One job's process, the leader of a session of its own. Made by ``forked`` or ``spawned``."""

    def __init__(self, pid: int, limits: Limits, log: Path, reap: Callable[[], int | None]) -> None:
        self.pid, self._limits, self._log, self._reap = pid, limits, log, reap
        self._began = time.monotonic()
        self._looked = self._began
        self._family = [pid]
        self._peak = 0
        self._kills = kills_for_memory()
        self._stopped: Literal["time", "memory"] | None = None

    @classmethod
    def forked(cls, run: Callable[[], int], limits: Limits, log: Path) -> JobProcess:
        """Run a job in a copy of this process. See `fork` for what this process must not have done."""
        pid = fork(run, log)

        def reap() -> int | None:
            ended, status = os.waitpid(pid, os.WNOHANG)
            return os.waitstatus_to_exitcode(status) if ended else None

        return cls(pid, limits, log, reap)

    @classmethod
    def spawned(cls, job: str, limits: Limits, log: Path) -> JobProcess:
        """Start a job in a fresh interpreter. job: what `bench.executors.child.job_text` returns."""
        with log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - a module of ours
                [sys.executable, "-P", "-m", json.loads(job)["module"]],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=limit_memory(limits.memory),  # noqa: PLW1509 - None on Linux, where threads may run (Ray)
            )
        if process.stdin is not None:
            with suppress(BrokenPipeError), process.stdin:  # it died at once: its end tells the story
                process.stdin.write(job.encode())
        return cls(process.pid, limits, log, process.poll)

    def check(self) -> Ended | None:
        """Return how the process has ended, or None while it runs; stop it where it is beyond a limit."""
        code = self._reap()
        seconds = time.monotonic() - self._began
        if code is None:
            self._watch(seconds)
            return None
        self._signal(signal.SIGKILL)  # what it has started and left behind
        cause: Literal["exit", "signal", "oom", "time", "memory"] = "exit"
        if self._stopped is not None:
            cause = self._stopped
        elif code < 0:
            short = -code == signal.SIGKILL and kills_for_memory() > self._kills
            cause = "oom" if short else "signal"
        return Ended(cause, abs(code), round(seconds, 3), self._peak, last_line(self._log))

    def interrupt(self) -> None:
        """Ask it to end as Ctrl-C would."""
        self._signal(signal.SIGINT)

    def kill(self) -> None:
        """End it, and all that it has started."""
        self._signal(signal.SIGKILL)

    def _watch(self, seconds: float) -> None:
        limits = self._limits
        if limits.seconds is not None and seconds > limits.seconds:
            self._stop("time")
        if not WATCHED:
            return
        now = time.monotonic()
        if now - self._looked > _LOOK_FOR_CHILDREN:
            self._looked, self._family = now, session_of(self.pid) or [self.pid]
        held = held_by(self._family)
        if limits.memory is not None and held > limits.memory:
            held = held_together(self._family) or held
            if held > limits.memory:
                self._stop("memory")
        self._peak = max(self._peak, held)

    def _stop(self, why: Literal["time", "memory"]) -> None:
        self._stopped = self._stopped or why
        self.kill()

    def _signal(self, number: int) -> None:
        for send in (os.killpg, os.kill):  # it may not lead its group yet
            with suppress(ProcessLookupError, PermissionError):
                send(self.pid, number)
                return  # a second Ctrl-C would cut off what the first has it put away


class LocalPool(Generic[J]):
    """Up to ``jobs`` processes at once, forked where that is safe (see `bench.executors.child`), else fresh."""

    def __init__(self, program: Program[J], limits: Limits, *, jobs: int = 1) -> None:
        self.slots = jobs
        self._program, self._limits = program, limits
        self._fork = sys.platform == "linux" and program.place.device.type == "cpu"
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


def last_line(log: Path) -> str:
    """Return the last line of a log that says anything, or nothing."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL))
            lines = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
    except OSError:
        return ""
    return next((line for line in reversed(lines) if line), "")
