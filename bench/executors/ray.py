"""Jobs as tasks of a Ray cluster (the extra ``ray``); results come through the folder its machines share, or by value.

A task is a process of Ray's that watches a fresh interpreter with the job in it: limits and the reasons of failures
are those of one machine, and a machine that is lost is one more cause outside the job.
"""

from __future__ import annotations

import json
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic

from bench.contract import SimbenchError
from bench.environment import require_package
from bench.executors.executor import LOG, TOLD, Ended, J, Limits, Program
from bench.executors.process import JobProcess
from bench.files import write_bytes

_PAUSE = 0.05


def run_watched(job: str, limits: Mapping[str, Any], folder: str, token: str, scratch: str) -> dict[str, Any]:
    """Run a job to its end, or its limits', and return its `Ended` as plain values, which travel between machines.

    folder: the job's. token: a file in the tree that results go to. Where it cannot be seen from here, the machines
    share no such tree: the job is done in a temporary folder, and its files are returned too, as ``files``: path within
    the job's folder -> bytes; those below ``scratch`` are not.
    """
    if Path(token).exists():
        return asdict(_watched(job, limits, Path(folder)))
    with tempfile.TemporaryDirectory(prefix="simbench-") as own:
        said = json.loads(job)
        here = Path(own) / Path(folder).relative_to(said["root"])
        here.mkdir(parents=True)
        ended = _watched(json.dumps({**said, "root": own}), limits, here)
        paths = [path for path in here.rglob("*") if path.is_file() and scratch not in path.parts]
        return {**asdict(ended), "files": {str(path.relative_to(here)): path.read_bytes() for path in paths}}


def take_over(files: Mapping[str, bytes], folder: Path, last: str) -> None:
    """Write a job's files that came by value, ``last`` last: until it is there, the job is not done."""
    for name in sorted(files, key=lambda name: name == last):
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


class RayPool(Generic[J]):
    """As many jobs at once as the cluster has processors, or GPUs, for; ``jobs`` of them share a GPU.

    address: of a cluster, as ``ray.init`` takes it; None starts one on this machine, of ``cores`` processors. Raises
    UsageError without the package, SimbenchError where there is no such cluster, or none with room for a job.
    """

    def __init__(
        self,
        program: Program[J],
        limits: Limits,
        *,
        address: str | None = None,
        cores: int | None = None,
        jobs: int = 1,
    ) -> None:
        self._ray, place = require_ray(), program.place
        self._program, self._limits = program, limits
        self._running: dict[Any, tuple[J, Path]] = {}
        here = {"num_cpus": cores, "include_dashboard": False} if address is None else {}
        try:
            self._ray.init(address=address or "local", log_to_driver=False, logging_level="ERROR", **here)
        except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise SimbenchError(f"no Ray cluster at {address or 'this machine'}: {first}") from error
        self._wanted = wanted_by(place.threads, place.device.type, jobs)
        self.slots = self._room()
        self._task = self._ray.remote(**self._wanted, max_retries=0)(run_watched)
        place.root.mkdir(parents=True, exist_ok=True)
        self._token = place.root.absolute() / f".runner-{uuid.uuid4().hex}"  # seen by a machine that shares the tree
        self._token.touch()

    def start(self, job: J, folder: Path) -> None:
        text = self._program.as_json(job)
        reference = self._task.remote(
            text, asdict(self._limits), str(folder.absolute()), str(self._token), self._program.scratch
        )
        self._running[reference] = job, folder

    def ended(self) -> Sequence[tuple[J, Ended]]:
        if not self._running:
            return []
        ready, _ = self._ray.wait(list(self._running), num_returns=len(self._running), timeout=0)
        found = []
        for reference in ready:
            job, folder = self._running.pop(reference)
            found.append((job, self._end(reference, folder)))
        return found

    def stop(self) -> None:
        for reference in self._running:
            with suppress(Exception):  # Ray's own errors about a task that has just ended
                self._ray.cancel(reference, force=True)
        self._running = {}
        self._token.unlink(missing_ok=True)
        self._ray.shutdown()

    def _end(self, reference: Any, folder: Path) -> Ended:
        errors = self._ray.exceptions
        try:
            told = self._ray.get(reference)
            take_over(told.pop("files", {}), folder, self._program.last)
            return Ended(**told)
        except (errors.RayTaskError, errors.RaySystemError) as error:  # ours, or the machine's own: a full disk, say
            return Ended("exit", 1, 0.0, 0, TOLD + (str(error).strip().splitlines() or ["no reason known"])[-1])
        except errors.RayError as error:
            return Ended("lost", 0, 0.0, 0, (str(error).strip().splitlines() or [type(error).__name__])[0])

    def _room(self) -> int:
        """Return how many jobs the cluster takes at once."""
        found = self._ray.cluster_resources()
        names = {"num_cpus": "CPU", "num_gpus": "GPU"}
        fits = [fitting(found.get(names[name], 0.0), count) for name, count in self._wanted.items() if count]
        if min(fits) < 1:
            raise SimbenchError(
                f"the Ray cluster has {found.get('CPU', 0):g} processors and {found.get('GPU', 0):g} GPUs; a job wants "
                f"{self._wanted['num_cpus']:g} and {self._wanted['num_gpus']:g} (--threads, --device, --jobs)"
            )
        return min(fits)


def wanted_by(threads: int, device: str, jobs: int) -> dict[str, float]:
    """Return what a task asks of Ray: processors, and on a GPU that share of one, so that ``jobs`` tasks fill it."""
    return {"num_cpus": threads, "num_gpus": 1 / jobs if device == "cuda" else 0}


def fitting(there: float, wanted: float) -> int:
    """Return how many tasks there is room for; a tenth fits ten times, whatever floating-point numbers make of it."""
    return int(there / wanted + 1e-6)


def require_ray() -> Any:
    """Return the package. Raises UsageError, before anything is run, where it is missing."""
    return require_package("ray", "--executor ray", "ray", "'simbench-retrieval[ray]'")
