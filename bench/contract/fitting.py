"""What a method may use while it fits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from bench.contract.errors import UsageError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

T = TypeVar("T")


class Progress(Protocol):
    """Wraps an iterable in a progress bar (or in nothing, where there is no terminal)."""

    def __call__(self, items: Iterable[T], *, total: int, what: str) -> Iterable[T]: ...


def no_progress(items: Iterable[T], *, total: int, what: str) -> Iterable[T]:
    """Show no progress: a ``Progress`` for log files and notebooks."""
    del total, what
    return items


class History(Protocol):
    """The training curve of a run: one row an epoch, numbers by name, kept as ``history.csv``."""

    def add(self, row: Mapping[str, float | int | str]) -> None: ...

    def rows(self) -> Sequence[Mapping[str, float | int | str]]: ...

    def replace(self, rows: Sequence[Mapping[str, float | int | str]]) -> None:
        """Start again from the rows that a checkpoint recorded."""
        ...


class Checkpoints(Protocol):
    """Named sets of tensors that survive a kill. Saving is atomic; loading a missing one gives None."""

    def save(self, name: str, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None: ...

    def load(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None: ...


@dataclass(frozen=True)
class Budget:
    """How long a method may train: its own default, or so many epochs, or so many seconds.

    epochs: the sum over a method's phases, which share it in their default proportion; seconds: wall time of the whole
    fit, turned into epochs by a short measurement; phases: which phases to run, None for all.
    """

    epochs: float | None = None
    seconds: float | None = None
    phases: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        for name, value in (("epochs", self.epochs), ("seconds", self.seconds)):
            if value is not None and not value > 0:
                raise UsageError(f"{name} must be above 0, got {value:g}")
        if self.epochs is not None and self.seconds is not None:
            raise UsageError("give --epochs or --budget, not both")


@dataclass(frozen=True)
class RunContext:
    """What a method may use while it fits: the ``run`` argument of ``fit``."""

    seed: int
    device: torch.device
    classes: tuple[str, ...]
    mirror: bool
    budget: Budget
    checkpoints: Checkpoints
    history: History
    progress: Progress
    log: Callable[[str], None]
