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

import csv
import hashlib
import io
import json
import logging
import os
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
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


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: temporary name, fsync, rename. Raises SimbenchError in the user's words."""
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise SimbenchError(f"cannot write {path}: {error.strerror or error}") from error


def ensure_writable(folder: Path, room: int = 0) -> None:
    """Make a folder if it is missing, and raise SimbenchError now, not after hours, if nothing can be written there.

    room: bytes that it must still take.
    """
    probe = folder / f".{socket.gethostname()}.{os.getpid()}.probe"  # others may look at the same moment
    write_bytes(probe, os.urandom(room))
    probe.unlink(missing_ok=True)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file whole; numbers that are not finite become null."""
    write_bytes(path, (json.dumps(_finite(content), indent=2, allow_nan=False) + "\n").encode())


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write a compressed npz file whole; no array in it may need pickle."""
    import numpy as np  # noqa: PLC0415 - reading the store must not cost numpy's start-up

    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_bytes(path, buffer.getvalue())


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a CSV file whole: the union of the rows' names as columns, in order of first appearance."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_bytes(path, text.getvalue().encode())


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


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _finite(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):  # noqa: PLR0124 - NaN
        return None
    return value
