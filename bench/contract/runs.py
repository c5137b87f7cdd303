"""What decides a run, and where runs are made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.contract.fitting import Budget, Progress

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class RunSpec:
    """Everything that decides what a run computes, its seed apart.

    dataset, protocol, method: their names; fingerprint: of the data, whatever loader and options it came through;
    options: every field of the method, defaults included, so that a changed default is a different run; budget: of
    training; device: its kind; ks: the depths k of metrics@k; ties: the rule for equal similarities; data: what was
    chosen of the data other than by default, by name, which the fingerprint holds too; engine: what computes the
    vectors, once the method is fitted.
    """

    dataset: str
    protocol: str
    method: str
    fingerprint: str
    options: Mapping[str, Any] = field(default_factory=dict)
    budget: Budget = field(default_factory=Budget)
    device: str = "cpu"
    ks: tuple[int, ...] = (1, 10, 50)
    ties: str = "pessimistic"
    data: Mapping[str, Any] = field(default_factory=dict)
    engine: str = "torch"

    @property
    def key(self) -> str:
        """The name of its runs' folder: ten hex digits that change with anything that decides a score."""
        facts = asdict(self)
        if not facts["data"]:
            del facts["data"]  # all of the data, as runs had it before there was a choice
        if facts["engine"] == "torch":
            del facts["engine"]  # likewise
        canonical = json.dumps(facts, sort_keys=True, default=list)
        return hashlib.sha256(canonical.encode()).hexdigest()[:10]


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
