"""A run is a folder of files. This module knows their names, writes them whole, and reads them back.

runs/<dataset>/<protocol>/<method>/<spec-key>/seed<k>/
    run.json              what was run, how it went, every score; written last, so its presence means "finished"
    per_query.npz         every metric's value for every query, ids, and the first neighbours
    replicates.npz        every score without each group of images, and of classes
    embeddings.safetensors
    weights.safetensors
    samples.npz           some originals and their reconstructions, where the method decodes
    history.csv           one row an epoch
    checkpoints/          how far each phase of the training is, and the best weights of it
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import filelock

from bench.contract import RunResult, RunSpec, SimbenchError
from bench.files import write_json

logger = logging.getLogger(__name__)

RUN_FILE = "run.json"
CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class RunRecord:
    """One ``run.json`` as read from disk, and the folder it lies in."""

    folder: Path
    result: RunResult

    @property
    def status(self) -> str:
        return self.result.status


def run_folder(root: Path, spec: RunSpec, seed: int) -> Path:
    """Return where a run with this specification and seed lies."""
    return root / spec.dataset / spec.protocol / spec.method / spec.key / f"seed{seed}"


def write_run(folder: Path, result: RunResult) -> None:
    """Write a run's ``run.json``, which makes it finished."""
    write_json(folder / RUN_FILE, result.to_json())


def read_run(folder: Path) -> RunRecord | None:
    """Return the run in a folder, or None if there is no finished (or failed) one.

    A file that is not ours, or of another schema, is an error, never a guess.
    """
    path = folder / RUN_FILE
    try:
        return RunRecord(folder, RunResult.from_json(json.loads(path.read_text(encoding="utf-8"))))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, SimbenchError) as error:
        raise SimbenchError(f"cannot read {path}: {error}; delete the folder to run it again") from error


def all_runs(root: Path) -> list[RunRecord]:
    """Return every run under a folder, ordered by path; one that cannot be read is left out with a warning."""
    found = []
    for path in sorted(root.glob(f"*/*/*/*/seed*/{RUN_FILE}")):
        try:
            run = read_run(path.parent)
        except SimbenchError as error:
            logger.warning("left out: %s", error)
            continue
        if run is not None:
            found.append(run)
    return found


def lock_of(folder: Path) -> filelock.FileLock:
    """Return the lock under which a run's folder is worked on; it lies beside the folder."""
    return filelock.FileLock(folder.with_name(f".{folder.name}.lock"))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run's folder against other simbench processes; a second one waits until the first has finished."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with lock_of(folder):
            yield
    except OSError as error:
        raise SimbenchError(f"cannot write to the run folder {folder}: {error.strerror or error}") from error
