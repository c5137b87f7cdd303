"""Fit one method on one data set's learnt parts: what a run and a trial of tuning have in common."""

from __future__ import annotations

import random
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch

from bench.contract import Dataset, Method, RunContext, RunSpec, SimbenchError, Workplace
from bench.options import build
from bench.registry import get_method
from bench.runs.history import MemoryHistory, tensorboard_writer
from bench.training.checkpoints import FolderCheckpoints


def fit_method(
    spec: RunSpec, seed: int, dataset: Dataset, place: Workplace, checkpoints: Path
) -> tuple[Method, MemoryHistory]:
    """Return a method fitted as the specification says, and its training curve; query and gallery are not touched.

    checkpoints: the folder where a fit that was killed is found and goes on. Raises what the method raises.
    """
    _seed_everything(seed, place.threads)
    method: Method = build(get_method(spec.method), spec.options, owner=f"method {spec.method}")
    with tensorboard_writer(checkpoints.parent) if place.tensorboard else nullcontext() as writer:
        history = MemoryHistory(writer)
        context = RunContext(
            seed=seed,
            device=place.device,
            classes=dataset.learnt_classes,
            mirror=dataset.mirror,
            budget=spec.budget,
            checkpoints=FolderCheckpoints(checkpoints),
            history=history,
            progress=place.progress,
            log=place.log,
        )
        method.fit(dataset.train, dataset.validation, context)
    return method, history


def reason_of(error: Exception) -> str:
    """Return why a fit or what followed it failed, in one line."""
    if isinstance(error, SimbenchError):
        return str(error)
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return f"out of memory: {str(error).splitlines()[0] if str(error) else 'the process was refused more'}"
    return f"{type(error).__name__}: {(str(error).splitlines() or ['no message'])[0]}"


def _seed_everything(seed: int, threads: int) -> None:
    """Methods of other packages may use any of the global generators; ours use their own."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
