"""A run is a folder of files. This module knows their names, writes run.json whole, and reads it back.

runs/<dataset>/<protocol>/<method>/<spec-key>/seed<k>/
    run.json              what was run, how it went, every score; written last, so its presence means "finished"
    per_query.npz         every metric's value for every query, ids, and the first neighbours
    replicates.npz        every score without each group of images, and of classes
    embeddings.safetensors
    weights.safetensors
    samples.npz           some originals and their reconstructions, where the method decodes
    history.csv           one row an epoch
    latency.npz           every time taken
    checkpoints/          how far each phase of the training is, and the best weights of it

run.json has a digest of itself and of each file beside it but the checkpoints. What is read of a run comes through
`RunRecord.file`, which compares them.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import filelock

from bench.contract import (
    SCHEMA,
    DataError,
    RunResult,
    RunSpec,
    SimbenchError,
    UsageError,
    from_jsonable,
    to_jsonable,
)
from bench.naming import first_few, is_folder_name
from bench.runs.integrity import DIGEST, DamagedError, check_seal, read_json, verify, write_sealed

logger = logging.getLogger(__name__)

RUN_FILE = "run.json"
CHECKPOINTS = "checkpoints"
_ANYWHERE, _SEED_DEPTH = f"*/*/*/*/seed*/{RUN_FILE}", 4
_AGAIN = "delete the folder to run it again, or give --force"
_SEED = re.compile(r"seed(\d+)")
_KEY = re.compile(r"[0-9a-f]{10}")


@dataclass(frozen=True)
class RunRecord:
    """One ``run.json`` as read from disk, the folder it lies in, and the digest of its content."""

    folder: Path
    result: RunResult
    digest: str = ""

    @property
    def status(self) -> str:
        return self.result.status

    @property
    def identity(self) -> str:
        """All that run.json says, which tells when it was made, too: the same run once more has another."""
        return json.dumps(self.result.to_json(), sort_keys=True)

    def file(self, name: str) -> Path:
        """Return the path of a file that the run wrote beside run.json, verified to be as it was written.

        Every reader of a run's files asks here. Raises DamagedError where it is not, or is gone; DataError where the
        run wrote none of this name.
        """
        path, digest = self.folder / name, self.result.files.get(name)
        if digest is None:
            raise DataError(f"cannot read {path}: the run wrote no such file")
        return verify(path, digest)


def run_folder(root: Path, spec: RunSpec, seed: int) -> Path:
    """Return where a run with this specification and seed lies."""
    return root / spec.dataset / spec.protocol / spec.method / spec.key / f"seed{seed}"


def write_run(folder: Path, result: RunResult) -> None:
    """Write a run's ``run.json``, which makes it finished."""
    write_sealed(folder / RUN_FILE, result.to_json())


def read_run(folder: Path) -> RunRecord | None:
    """Return the run in a folder, or None if there is no finished (or failed) one.

    A file that is damaged, not ours, of another schema, or not of this folder is an error, never a guess.
    """
    path = folder / RUN_FILE
    try:
        content = read_json(path)
        digest = check_seal(path, content) if content.get("schema") == SCHEMA else ""
        result = RunResult.from_json({name: value for name, value in content.items() if name != DIGEST})
        _check_names(folder, result)
    except FileNotFoundError:
        return None
    except SimbenchError as error:
        said = str(error) if str(path) in str(error) else f"cannot read {path}: {error}"
        raise DamagedError(f"{said}; {_AGAIN}") from error
    return RunRecord(folder, result, digest)


def _check_names(folder: Path, result: RunResult) -> None:
    """Raise DataError unless a run is called as what it is of, by its key and by the folders that name it.

    A single run may be moved anywhere: only folders called as a seed and a key are compared.
    """
    _check_folder_names(result.spec)
    if result.key != result.spec.key:
        raise DataError(f"its key is {result.key!r}, its specification's is {result.spec.key}")
    seed = _SEED.fullmatch(folder.name)
    if seed and int(seed[1]) != result.seed:
        raise DataError(f"it is of seed {result.seed}, its folder is called {folder.name}")
    if _KEY.fullmatch(folder.parent.name) and folder.parent.name != result.key:
        raise DataError(f"it is of the key {result.key}, its folder lies in {folder.parent.name}")


def require_recordable(spec: RunSpec) -> None:
    """Raise UsageError for what could not be read back: names that are no folders', options that JSON does not keep."""
    _check_folder_names(spec)
    again = from_jsonable(RunSpec, json.loads(json.dumps(to_jsonable(spec))))
    if again.key != spec.key:
        raise UsageError(f"{spec.method}: its options do not come back from {RUN_FILE} as they are (not finite?)")


def _check_folder_names(spec: RunSpec) -> None:
    """Raise UsageError where data set, protocol or method has a name that cannot be a folder's: names are no paths."""
    for what, name in (("data set", spec.dataset), ("protocol", spec.protocol), ("method", spec.method)):
        if not is_folder_name(name):
            raise UsageError(f"the {what}'s name {name[:80]!r} cannot be a folder's")


def any_run(root: Path) -> bool:
    """Whether a folder is a tree of runs, readable or not."""
    return any(root.glob(_ANYWHERE))


def all_runs(root: Path) -> list[RunRecord]:
    """Return every run under a folder, ordered by path; one that cannot be read is left out with a warning.

    Raises DataError where the folder itself cannot be read.
    """
    return list(readable(_seed_folders(root), root))


def _seed_folders(folder: Path, depth: int = 0) -> Iterator[Path]:
    """Yield the folders of a tree that are called as a seed's; tell what cannot be read, which a glob passes over."""
    try:
        names = sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        said = f"cannot read {str(folder)[:200]}: {error.strerror or error}"
        if depth == 0:
            raise DataError(said) from error
        logger.warning("left out: %s", said)
        return
    for name in names:
        if depth < _SEED_DEPTH:
            yield from _seed_folders(folder / name, depth + 1)
        elif name.startswith("seed") and os.path.isdir(folder / name):
            yield folder / name


def readable(folders: Iterable[Path], root: Path | None = None) -> Iterator[RunRecord]:
    """Yield the run in each folder that has one; what cannot be read is left out with a warning.

    root: of the tree that the folders are in, where each must lie as its run is called.
    """
    for folder in folders:
        try:
            run = read_run(folder)
            if run is not None and root is not None:
                _check_place(root, run)
        except SimbenchError as error:
            logger.warning("left out: %s", error)
            continue
        if run is not None:
            yield run


def _check_place(root: Path, run: RunRecord) -> None:
    """Raise DamagedError for a run that lies where another belongs."""
    where, own = run.folder.relative_to(root), run_folder(Path(), run.result.spec, run.result.seed)
    if where != own:
        raise DamagedError(f"{run.folder / RUN_FILE} is of another run, which would lie in {own}; {_AGAIN}")


def undamaged(runs: Sequence[RunRecord], *names: str) -> list[RunRecord]:
    """Return the runs whose files of these names are as they were written; others are left out with a warning.

    A file that is gone gives no wrong number: who reads it says so.
    """
    found = []
    for run in runs:
        try:
            for name in names:
                if name in run.result.files and (run.folder / name).exists():
                    run.file(name)
        except DamagedError as error:
            logger.warning("left out: %s", error)
            continue
        found.append(run)
    return found


def without_copies(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """Return the runs without those that are a copy of another: of a row, with its vectors and all of its times.

    A method that draws nothing gives the same vectors for every seed, but never in the same nanoseconds. Copies count
    as one run, the first, which carries an alarm.
    """
    first: dict[object, RunRecord] = {}
    copies: dict[Path, list[str]] = {}
    for run in runs:
        result = run.result
        if not result.digests or not result.timings:
            first[run.folder] = run
            continue
        times = (result.seconds, *sorted(result.timings.items()), *sorted(result.latency.items()))
        known = first.setdefault((result.key, result.digests.vectors, result.provenance.date, times), run)
        if known is not run:
            copies.setdefault(known.folder, []).append(str(run.folder))
            logger.warning("left out: %s is a copy of %s: vectors and times are the same", run.folder, known.folder)
    return [_alarmed(run, copies.get(run.folder, ())) for run in first.values()]


def _alarmed(run: RunRecord, copies: Sequence[str]) -> RunRecord:
    if not copies:
        return run
    alarm = f"copied run: {first_few(copies)} has its vectors and times, and counts as one with it"
    return replace(run, result=replace(run.result, flags=(*run.result.flags, alarm)))


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
