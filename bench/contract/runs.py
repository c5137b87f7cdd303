"""What decides a run, where runs are made, and what a method may use while it fits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from bench.contract.errors import UsageError
from bench.contract.images import Resize

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
            if value is not None:
                object.__setattr__(self, name, float(value))  # as it comes back from run.json
        if self.epochs is not None and self.seconds is not None:
            raise UsageError("give --epochs or --budget, not both")


@dataclass(frozen=True)
class RunContext:
    """What a method may use while it fits: the ``run`` argument of ``fit``.

    Attributes:
        seed: Of everything random.
        device: To train on.
        classes: The names that the training labels are numbers of.
        mirror: Whether a mirrored image shows the same class, and so may be trained on.
        budget: How long to train.
        checkpoints: Tensors that survive a kill.
        history: The training curve, a row an epoch.
        progress: Wraps an iterable in a bar.
        log: Told one line at a time how the training goes on.
        shared: Tensors that other runs make too, by the digest of what they are made of; None where none are kept.
    """

    seed: int
    device: torch.device
    classes: tuple[str, ...]
    mirror: bool
    budget: Budget
    checkpoints: Checkpoints
    history: History
    progress: Progress
    log: Callable[[str], None]
    shared: Checkpoints | None = None


# What is no part of a run's key at its default: keys stayed as they were when there came to be a choice.
_SILENT: dict[str, Any] = {
    "resize": None,
    "data": {},
    "engine": "torch",
    "mirror_test": False,
    "deterministic": False,
    "sources": {},
    "metrics": (),
}


GIVEN = "vectors"  # in a run's sources: the digest of vectors that were made elsewhere


@dataclass(frozen=True)
class RunSpec:
    """Everything that decides what a run computes, its seed apart.

    dataset, protocol, method: their names; fingerprint: of the data, whatever loader and options it came through;
    options: every field of the method, defaults included, so that a changed default is a different run; budget: of
    training; resize: how picture files were brought to the size that the method was given, None for images that came
    as an array; device: its kind; ks: the depths k of metrics@k; ties: the rule for equal similarities; data: what was
    chosen of the data other than by default, by name, which the fingerprint holds too; engine: what computes the
    vectors, once the method is fitted; mirror_test: whether a vector is the mean of an image's and its mirror image's;
    deterministic: whether all is computed on one thread, by operations that give the same bits each time; sources:
    digests of the code that the run is of, by who brings it and file, and of the files that its options name, by
    ``-o OPTION`` (see `bench.runs.sources`); or of vectors that were made elsewhere, by ``GIVEN``, and of nothing else;
    metrics: those that the data set asks for beside the usual ones.
    """

    dataset: str
    protocol: str
    method: str
    fingerprint: str
    options: Mapping[str, Any] = field(default_factory=dict)
    budget: Budget = field(default_factory=Budget)
    resize: Resize | None = None
    device: str = "cpu"
    ks: tuple[int, ...] = (1, 10, 50)
    ties: str = "pessimistic"
    data: Mapping[str, Any] = field(default_factory=dict)
    engine: str = "torch"
    mirror_test: bool = False
    deterministic: bool = False
    sources: Mapping[str, str] = field(default_factory=dict)
    metrics: tuple[str, ...] = ()

    @property
    def given_vectors(self) -> bool:
        """Whether its vectors were made elsewhere: there is no method that could embed another picture."""
        return GIVEN in self.sources

    @property
    def marks(self) -> dict[str, str]:
        """Eight hex digits for all of its code, and for the content of each file that an option names."""
        code = {name: digest for name, digest in self.sources.items() if "/" in name}
        found = {"code": hashlib.sha256(json.dumps(code, sort_keys=True).encode()).hexdigest()[:8]} if code else {}
        files = ((name, digest) for name, digest in self.sources.items() if name not in code)
        return found | {f"{name.removeprefix('-o ').partition('=')[0]} content": digest[:8] for name, digest in files}

    @property
    def key(self) -> str:
        """The name of its runs' folder: ten hex digits that change with anything that decides a score.

        Of a file that an option names, its content does, and not where it lies.
        """
        facts = asdict(self)
        facts["options"] = {name: value for name, value in self.options.items() if f"-o {name}" not in self.sources}
        for name, default in _SILENT.items():
            if facts[name] == default:
                del facts[name]
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
