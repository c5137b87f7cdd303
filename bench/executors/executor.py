"""What is asked of whatever runs jobs in processes of their own, and of jobs that are to be run so."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from bench.contract import Workplace
from bench.executors.memory import in_words

LOG = "cell.log"  # in a job's folder: what its process printed
TOLD = "simbench: "  # how the last line of a log begins where it says why there is no result

# What a program brings upon itself; any other signal came from outside.
_CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL}

J = TypeVar("J")
J_contra = TypeVar("J_contra", contravariant=True)


@dataclass(frozen=True)
class Limits:
    """What a job may take: wall seconds, and bytes of memory; None for as much as it wants."""

    seconds: float | None = None
    memory: int | None = None


@dataclass(frozen=True)
class Ended:
    """How a job's process ended.

    cause: ``exit`` by itself, ``signal`` killed by somebody else, ``oom`` by the kernel for want of memory, ``time`` or
    ``memory`` by us at its limit, ``lost`` with its machine. code: the exit code or the signal's number. peak: bytes of
    memory held at most, 0 where nobody watched. words: the last it printed.
    """

    cause: Literal["exit", "signal", "oom", "time", "memory", "lost"]
    code: int
    seconds: float
    peak: int
    words: str = ""


def from_outside(ended: Ended) -> bool:
    """Whether a process died of a cause outside it: worth one more try."""
    return ended.cause in ("lost", "oom") or (ended.cause == "signal" and ended.code not in _CRASHES)


def why_ended(ended: Ended, limits: Limits, *, tries: int = 2) -> str:
    """Return why a job has no result, in one line. tries: of what died of a cause outside it."""
    twice = ", twice" if tries > 1 else ""
    held, most = in_words(ended.peak), in_words(limits.memory or 0)
    crashed = ended.code in _CRASHES
    said = ended.words.removeprefix(TOLD) if ended.words.startswith(TOLD) else ""
    return {
        "time": f"timed out after {ended.seconds:.0f} s, the limit is {limits.seconds or 0:g} s (--cell-time)",
        "memory": f"out of memory: it held {held}, the limit is {most} (--cell-memory)",
        "oom": f"out of memory: the system had none left and killed it{twice}; it held {held}",
        "lost": f"its machine was lost{twice}: {ended.words or 'no reason known'}",
        "signal": f"crashed ({_name(ended.code)})" if crashed else f"killed from outside{twice} ({_name(ended.code)})",
        "exit": said or f"ended without a result (exit code {ended.code})",
    }[ended.cause]


def _name(number: int) -> str:
    with suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"


class Program(Protocol[J_contra]):
    """How one kind of job is run: the cells of a suite, the shards of a folder.

    place: where, on what device, with how many threads. last: the file of a job's folder whose presence means that it
    is done; scratch: a folder in it that matters to nobody else.
    """

    last: str
    scratch: str

    @property
    def place(self) -> Workplace: ...

    def as_json(self, job: J_contra) -> str:
        """Return the job for a fresh interpreter: what `bench.executors.child.job_text` makes."""
        ...

    def run(self, job: J_contra) -> int:
        """Run the job in this process, a copy of the one that started it, and return the exit code."""
        ...


class Pool(Protocol[J]):
    """Runs jobs side by side; never blocks but in ``stop``. ``folder`` is a job's own, which exists."""

    slots: int

    def start(self, job: J, folder: Path, /) -> None: ...

    def ended(self) -> Sequence[tuple[J, Ended]]:
        """Return the jobs that have ended since the last call, those stopped at a limit among them."""
        ...

    def stop(self) -> None:
        """End all that runs, and return when it has ended."""
        ...
