"""A run's folder while the run is made: finished runs are kept, one process at a time works, a failure is recorded."""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.contract import Dataset, Provenance, RunResult, RunSpec, SimbenchError, Workplace
from bench.evaluation.cost.timing import StageTimer
from bench.files import sweep_leftovers
from bench.runs.fitting import failure_reason, same_bits
from bench.runs.integrity import DamagedError, FileWriter
from bench.runs.provenance import provenance
from bench.runs.store import (
    CHECKPOINTS,
    RUN_FILE,
    RunRecord,
    locked,
    read_run,
    require_recordable,
    run_folder,
    write_run,
)


@dataclass(frozen=True)
class Attempt:
    """A run that is being made: what it is of, and where its files and times are kept."""

    spec: RunSpec
    seed: int
    dataset: Dataset
    place: Workplace
    files: FileWriter
    made_by: Provenance
    timer: StageTimer = field(default_factory=StageTimer)

    @property
    def folder(self) -> Path:
        return self.files.folder

    def failed(self, error: BaseException) -> RunResult:
        """Return the result where something was raised; to be called while it is handled."""
        return RunResult.failed(
            self.spec,
            self.seed,
            self.dataset,
            provenance=self.made_by,
            reason=failure_reason(error, self.spec),
            seconds=self.timer.elapsed(),
            traceback=traceback.format_exc(),
        )


def record_run(
    spec: RunSpec, seed: int, dataset: Dataset, place: Workplace, make: Callable[[Attempt], RunResult]
) -> RunRecord:
    """Make one run, unless it is finished already, and return its record.

    make: does the work, writes all files of the run but run.json, and returns what that is to hold. What it raises is a
    run too: recorded with its reason and returned, not raised. An interrupt is not recorded.
    """
    require_recordable(spec)
    folder = run_folder(place.root, spec, seed)
    with locked(folder):
        done = None if place.force else _finished(folder, spec, seed, dataset, place)
        if done is not None:
            return done
        (folder / RUN_FILE).unlink(missing_ok=True)  # first: without it the run is not finished
        if place.force:
            shutil.rmtree(folder, ignore_errors=True)
        for written in (folder, folder / CHECKPOINTS):
            sweep_leftovers(written)
        place.log(f"{spec.method} on {spec.dataset} ({spec.protocol}), seed {seed}: {folder}")
        if spec.deterministic:
            place = replace(place, threads=1)
        made_by = provenance(place.device, place.threads, spec)  # now: what runs, not what it is edited to meanwhile
        attempt = Attempt(spec, seed, dataset, place, FileWriter(folder), made_by)
        try:
            with same_bits() if spec.deterministic else nullcontext():
                result = make(attempt)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a method of somebody else's may raise anything, SystemExit too
            if place.debug and not isinstance(error, SimbenchError):
                raise
            result = attempt.failed(error)
        write_run(folder, result)
    record = read_run(folder)
    if record is None:
        raise SimbenchError(f"{folder / RUN_FILE} vanished while it was written")
    return record


def _finished(folder: Path, spec: RunSpec, seed: int, dataset: Dataset, place: Workplace) -> RunRecord | None:
    """Return the finished run in a folder, or None.

    One that is damaged is as one that failed, and stays as it is: only ``--force`` throws away what may have been a
    result.
    """
    try:
        known = read_run(folder)
    except DamagedError as error:
        made_by = provenance(place.device, place.threads, spec)
        result = RunResult.failed(spec, seed, dataset, provenance=made_by, reason=str(error), seconds=0.0)
        return RunRecord(folder, result)
    return known if known is not None and known.status == "done" else None
