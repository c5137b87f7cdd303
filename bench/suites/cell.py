"""One cell of a suite as a job for an executor: forked from the runner, or ``python -m bench.suites.cell``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bench.config import Config, Settings
from bench.contract import DataError, RunResult, RunSpec, Workplace, from_jsonable, no_progress, to_jsonable
from bench.executors import child
from bench.executors.executor import Ended
from bench.options import build
from bench.runs.provenance import provenance
from bench.runs.run import execute
from bench.runs.run_plan import chosen_data, load_collection
from bench.runs.store import CHECKPOINTS, RUN_FILE, RunRecord, locked, read_run, write_run
from bench.suites.expansion import SuiteCell

FACTS = "cell.json"  # in a run's folder: what its processes took, beside what they found


def record_failure(cell: SuiteCell, reason: str, ended: Ended, place: Workplace) -> RunRecord | None:
    """Write a failed run, unless somebody has meanwhile run the cell, and return what is there then."""
    folder = cell.folder(place.root)
    with locked(folder):
        known = read_run(folder)
        if known is None:
            made_by = provenance(place.device, place.threads)
            result = RunResult.failed(
                cell.spec, cell.seed, cell.dataset, provenance=made_by, reason=reason, seconds=ended.seconds
            )
            write_run(folder, result)
    return known or read_run(folder)


def sweep(cell: SuiteCell, place: Workplace) -> None:
    """Take away what earlier tries have left: the record of a failure, and files that a kill cut off."""
    folder = cell.folder(place.root)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RUN_FILE).unlink(missing_ok=True)
    for partial in (*folder.glob(".*.tmp"), *folder.glob(f"{CHECKPOINTS}/.*.tmp")):
        partial.unlink(missing_ok=True)


@dataclass(frozen=True)
class CellProgram:
    """How pools run the cells of a suite, whose folders are their runs'. datasets: the options that bench.toml gives.

    A fresh process is given its cell as JSON, and loads the data again.
    """

    place: Workplace
    datasets: Mapping[str, Mapping[str, Any]]
    last = RUN_FILE
    scratch = CHECKPOINTS

    def as_json(self, cell: SuiteCell) -> str:
        facts = {
            "word": cell.word,
            "settings": asdict(cell.settings),
            "datasets": self.datasets,
            "spec": to_jsonable(cell.spec),
            "seed": cell.seed,
        }
        return child.job_text("bench.suites.cell", self.place, facts)

    def run(self, cell: SuiteCell) -> int:
        """Run a cell and return the exit code: 0 done, 1 failed. Raises SimbenchError for what cannot be recorded."""
        place = replace(self.place, progress=no_progress, log=child.say)
        return int(execute(cell.spec, cell.seed, cell.dataset, place).status != "done")


def _loaded(job: Mapping[str, Any], place: Workplace) -> SuiteCell:
    settings: Settings = build(Settings, job["settings"], owner="[run]")
    spec = from_jsonable(RunSpec, job["spec"], "spec")
    cache = place.cache or Path(".")
    collection = load_collection(job["word"], Config(settings, datasets=job["datasets"]), no_progress, cache)
    data = chosen_data(collection, settings, place.cache)
    if data.fingerprint != spec.fingerprint:
        raise DataError(f"{job['word']}: other images or labels here than where the suite was started")
    return SuiteCell(spec, job["seed"], data, job["word"], settings)


if __name__ == "__main__":
    child.serve(lambda job, place: CellProgram(place, job["datasets"]).run(_loaded(job, place)))
