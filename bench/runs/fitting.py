"""Fit one method on one data set's learnt parts, for a run or a trial of tuning, and keep its training curve."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from bench.contract import DataError, Dataset, Method, RunContext, RunSpec, SimbenchError, Split, Workplace, uses_labels
from bench.data.decoding.cache import FEATURES
from bench.environment import blas_threads, require_package
from bench.naming import canonical
from bench.options import build
from bench.plugins import METHOD
from bench.registry import find_plugins, get_method
from bench.training.checkpoints import FolderCheckpoints


def fit_method(
    spec: RunSpec, seed: int, dataset: Dataset, place: Workplace, checkpoints: Path
) -> tuple[Method, MemoryHistory]:
    """Return a method fitted as the specification says, and its training curve.

    Query and gallery are not touched; but where there is no training part, a method that uses no labels is given the
    gallery's pictures in its place. checkpoints: the folder where a fit that was killed resumes from. Raises what the
    method raises, and DataError where it needs labels and there are none.
    """
    _seed_everything(seed, place.threads)
    owner = f"{dataset.name} {dataset.fingerprint} {spec.key} seed {seed}"
    method: Method = build(get_method(spec.method), spec.options, owner=f"method {spec.method}")
    if len(dataset.train):
        train, validation, classes = learnable(dataset)
    elif uses_labels(method):
        raise DataError(
            f"no training pictures in {dataset.name}, and {spec.method} learns from labelled ones; add a train part"
        )
    else:
        train, validation, classes = _unlabelled(dataset.gallery), dataset.validation, ()
    with tensorboard_writer(checkpoints.parent) if place.tensorboard else nullcontext() as writer:
        history = MemoryHistory(writer)
        context = RunContext(
            seed=seed,
            device=place.device,
            classes=classes,
            mirror=dataset.mirror,
            budget=spec.budget,
            checkpoints=FolderCheckpoints(checkpoints, owner),
            history=history,
            progress=place.progress,
            log=place.log,
            shared=None if place.cache is None else FolderCheckpoints(place.cache / FEATURES),
        )
        method.fit(train, validation, context)
    return method, history


def learnable(dataset: Dataset) -> tuple[Split, Split, tuple[str, ...]]:
    """Return train and validation as a method sees them, and the names of the classes in train.

    Classes are numbered without gaps, those in train first and those in validation alone behind them: a method learns
    one centre or proxy for each name, and none for a class that it is never shown.
    """
    train, validation = dataset.train, dataset.validation
    shown = np.unique(train.labels)
    order = np.concatenate([shown, np.setdiff1d(validation.labels, shown)])
    if np.array_equal(order, np.arange(len(order))):
        return train, validation, dataset.classes[: len(shown)]
    number = np.full(len(dataset.classes), -1, np.int64)
    number[order] = np.arange(len(order))
    train, validation = (replace(part, labels=number[part.labels]) for part in (train, validation))
    return train, validation, tuple(dataset.classes[label] for label in shown)


def _unlabelled(gallery: Split) -> Split:
    """Return the gallery as one that nobody has labelled: those who search it have its pictures."""
    return replace(gallery, labels=np.zeros_like(gallery.labels))


OUT_OF_MEMORY = "out of memory"  # how the reason of such a failure begins
_NO_MEMORY = ("out of memory", "_ALLOC_FAILED")  # as CUDA and its libraries say it where torch has no error for it


def failure_reason(error: BaseException, spec: RunSpec) -> str:
    """Return why a fit or what followed it failed, in one line; of what is no error, with who brings the method."""
    if isinstance(error, SimbenchError):
        return str(error)
    refused = isinstance(error, RuntimeError) and any(word in str(error) for word in _NO_MEMORY)
    if refused or isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return f"{OUT_OF_MEMORY}: {str(error).splitlines()[0] if str(error) else 'the process was refused more'}"
    if not isinstance(error, Exception):
        return f"{brought_by(spec)} raised {type(error).__name__}({', '.join(map(repr, error.args))})"
    return f"{type(error).__name__}: {(str(error).splitlines() or ['no message'])[0]}"


def brought_by(spec: RunSpec) -> str:
    """Return whose code a run is of, in words: its method's, and its file's or package's name."""
    plugin = find_plugins(METHOD).get(canonical(spec.method))
    return f"method {spec.method} of {plugin.brought_by if plugin else 'unknown origin'}"


@contextmanager
def same_bits() -> Iterator[None]:
    """Have torch use operations only that give the same bits each time, and NumPy one thread; torch's is set by runs.

    torch divides a sum among its threads, and rounds each part: only one thread gives the bits of one thread.
    """
    before, warn = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # or cuBLAS refuses; read when it is first used
    torch.use_deterministic_algorithms(True)
    try:
        with blas_threads(1):
            yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warn)


def _seed_everything(seed: int, threads: int) -> None:
    """Methods of other packages may use any of the global generators; ours use their own."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False


Row = Mapping[str, float | int | str]

FOLDER = "tensorboard"


def require_tensorboard() -> None:
    """Raise UsageError, before anything is trained, where the package is missing."""
    wanted = "'simbench-retrieval[tensorboard]'"
    require_package("torch.utils.tensorboard", "--tensorboard", "tensorboard", wanted)


@contextmanager
def tensorboard_writer(folder: Path) -> Iterator[Callable[[Row], None]]:
    """Yield what writes an epoch's row as scalars, ``<phase>/<name>`` over the phase's steps, under ``folder``."""
    require_tensorboard()
    from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - an extra

    writer = SummaryWriter(str(folder / FOLDER))

    def write(row: Row) -> None:
        for name, value in row.items():
            if isinstance(value, (int, float)) and name != "step":
                writer.add_scalar(f"{row['phase']}/{name}", value, int(row["step"]))
        writer.flush()

    try:
        yield write
    finally:
        writer.close()


class MemoryHistory:
    """One row an epoch: numbers and words by name; ``listener`` hears of every new one."""

    def __init__(self, listener: Callable[[Row], None] | None = None) -> None:
        self._rows: list[Row] = []
        self._listener = listener

    def add(self, row: Row) -> None:
        self._rows.append(dict(row))
        if self._listener is not None:
            self._listener(row)

    def rows(self) -> Sequence[Row]:
        return self._rows

    def trained(self, clock: str) -> float:
        """Return all epochs' ``seconds`` or ``cpu_seconds``, before a kill too: each phase counts its own."""
        last = {row.get("phase"): float(row.get(clock, 0.0)) for row in self._rows}
        return sum(last.values())

    def events(self) -> list[str]:
        """Return what happened that a reader of the scores must know: a phase that was started again."""
        return [str(row["event"]) for row in self._rows if "event" in row]

    def replace(self, rows: Sequence[Row]) -> None:
        """Start again from the rows that a checkpoint recorded."""
        self._rows = [dict(row) for row in rows]
