"""What is asked of whatever runs jobs in processes of their own, and of jobs that are to be run so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from bench.suites.expansion import SuiteCell

LOG = "cell.log"  # in a job's folder: what its process printed

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


class Program(Protocol[J_contra]):
    """How one kind of job is run: the cells of a suite, the shards of a folder."""

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


class Executor(Pool[SuiteCell], Protocol):
    """A pool of the cells of a suite; a cell's folder is its run's."""
