"""A fresh interpreter with a job in it, watched until it ends: what a Ray task does."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.runs.executors.executor import LOG, Ended, Limits
from bench.runs.executors.process import JobProcess
from bench.runs.store import CHECKPOINTS, RUN_FILE, write_bytes

_PAUSE = 0.05


def run_watched(job: str, limits: Mapping[str, Any], folder: str, token: str) -> dict[str, Any]:
    """Run a job to its end, or its limits', and return its `Ended` as plain values, which travel between machines.

    folder: the job's. token: a file in the tree that results go to. Where it cannot be seen from here, the machines
    share no such tree: the job is done in a temporary folder, and its files are returned too, as ``files``: path within
    the job's folder -> bytes.
    """
    if Path(token).exists():
        return asdict(_watched(job, limits, Path(folder)))
    with tempfile.TemporaryDirectory(prefix="simbench-") as own:
        said = json.loads(job)
        here = Path(own) / Path(folder).relative_to(said["root"])
        here.mkdir(parents=True)
        ended = _watched(json.dumps({**said, "root": own}), limits, here)
        paths = [path for path in here.rglob("*") if path.is_file() and CHECKPOINTS not in path.parts]
        return {**asdict(ended), "files": {str(path.relative_to(here)): path.read_bytes() for path in paths}}


def take_over(files: Mapping[str, bytes], folder: Path) -> None:
    """Write a job's files that came by value, ``run.json`` last: until it is there, the run is not finished."""
    for name in sorted(files, key=lambda name: name == RUN_FILE):
        write_bytes(folder / name, files[name])


def _watched(job: str, limits: Mapping[str, Any], folder: Path) -> Ended:
    process = JobProcess.spawned(job, Limits(**limits), folder / LOG)
    try:
        while (ended := process.check()) is None:
            time.sleep(_PAUSE)
    except BaseException:  # Ray cancels a task by raising in it, whatever it raises: the job must not outlive it
        process.kill()
        raise
    return ended
