"""What the runner asks of whatever runs its cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from bench.runs.expansion import SuiteCell

LOG = "cell.log"  # in a run's folder: what its process printed


@dataclass(frozen=True)
class Limits:
    """What a cell may take: wall seconds, and bytes of memory; None for as much as it wants."""

    seconds: float | None = None
    memory: int | None = None


@dataclass(frozen=True)
class Ended:
    """How a cell's process ended.

    cause: ``exit`` by itself, ``signal`` killed by somebody else, ``oom`` by the kernel for want of memory, ``time`` or
    ``memory`` by us at its limit, ``lost`` with its machine. code: the exit code or the signal's number. peak: bytes of
    memory held at most, 0 where nobody watched. words: the last it printed.
    """

    cause: Literal["exit", "signal", "oom", "time", "memory", "lost"]
    code: int
    seconds: float
    peak: int
    words: str = ""


class Executor(Protocol):
    """Runs cells side by side; never blocks but in ``stop``. ``folder`` is a cell's run folder, which exists."""

    slots: int

    def start(self, cell: SuiteCell, folder: Path) -> None: ...

    def ended(self) -> Sequence[tuple[SuiteCell, Ended]]:
        """Return the cells that have ended since the last call, those stopped at a limit among them."""
        ...

    def stop(self) -> None:
        """End all that runs, and return when it has ended."""
        ...
