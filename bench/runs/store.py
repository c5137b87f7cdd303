"""A run is a folder of files. This module knows their names, writes them whole, and reads them back.

runs/<dataset>/<protocol>/<method>/<spec-key>/seed<k>/
    run.json              what was run, how it went, every score; written last, so its presence means "finished"
    per_query.npz         every metric's value for every query, ids, and the first neighbours
    embeddings.safetensors
    weights.safetensors
    samples.npz           some originals and their reconstructions, where the method decodes
    history.csv           one row an epoch
    checkpoints/          how far each phase of the training is, and the best weights of it
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import filelock

from bench.contract import RunSpec, SimbenchError

logger = logging.getLogger(__name__)

SCHEMA = 1
RUN_FILE = "run.json"
CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class RunRecord:
    """One ``run.json`` as read from disk, and the folder it lies in."""

    folder: Path
    content: Mapping[str, Any]

    @property
    def status(self) -> str:
        return str(self.content["status"])


def spec_key(spec: RunSpec) -> str:
    """Return the name of a specification's folder: ten hex digits that change with anything that decides a score."""
    facts = asdict(spec)
    if not facts["data"]:
        del facts["data"]  # all of the data, as runs had it before there was a choice
    if facts["engine"] == "torch":
        del facts["engine"]  # likewise
    canonical = json.dumps(facts, sort_keys=True, default=list)
    return hashlib.sha256(canonical.encode()).hexdigest()[:10]


def run_folder(root: Path, spec: RunSpec, seed: int) -> Path:
    """Return where a run with this specification and seed lies."""
    return root / spec.dataset / spec.protocol / spec.method / spec_key(spec) / f"seed{seed}"


def run_head(spec: RunSpec, seed: int, status: str) -> dict[str, Any]:
    """Return how every ``run.json`` begins: which run it is, and how it went ("done" or "failed")."""
    return {
        "schema": SCHEMA,
        "status": status,
        "dataset": spec.dataset,
        "protocol": spec.protocol,
        "method": spec.method,
        "seed": seed,
        "key": spec_key(spec),
        "spec": asdict(spec),
    }


def read_run(folder: Path) -> RunRecord | None:
    """Return the run in a folder, or None if there is no finished (or failed) one.

    A file that is not ours, or of a newer schema, is an error, never a guess.
    """
    path = folder / RUN_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise SimbenchError(f"cannot read {path}: {error}; delete the folder to run it again") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        found = content.get("schema") if isinstance(content, dict) else None
        raise SimbenchError(
            f"{path} has schema {found}, this simbench reads {SCHEMA}; delete the folder to run it again"
        )
    return RunRecord(folder, content)


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


def clear(folder: Path) -> None:
    """Forget a run: first the file that says it is finished, then the rest."""
    (folder / RUN_FILE).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


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
