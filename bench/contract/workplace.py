"""Where jobs run, what on, and whom they tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.contract.fitting import Progress

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Workplace:
    """What runs share that decides no score: where they are kept, on what they run, and how they report.

    log: told one line at a time how a run goes on; progress: wraps what takes long; cache: where found copies are kept;
    tensorboard: also write training curves in its format.
    """

    root: Path
    device: torch.device
    threads: int
    progress: Progress
    log: Callable[[str], None]
    force: bool = False
    debug: bool = False
    cache: Path | None = None
    tensorboard: bool = False
