"""One cell of a suite as a job for an executor: forked from the runner, or ``python -m bench.runs.cell``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bench.config import Config, Settings
from bench.contract import Budget, DataError, RunSpec, unseen
from bench.options import build
from bench.runs.executors import child
from bench.runs.expansion import SuiteCell
from bench.runs.matrix import chosen_data, load_collection
from bench.runs.run import Workplace, execute


@dataclass(frozen=True)
class CellProgram:
    """How executors run cells. datasets: the options that bench.toml gives to data sets."""

    place: Workplace
    datasets: Mapping[str, Mapping[str, Any]]

    def as_json(self, cell: SuiteCell) -> str:
        return as_job(cell, self.place, self.datasets)

    def run(self, cell: SuiteCell) -> int:
        return work(cell, self.place)


def work(cell: SuiteCell, place: Workplace) -> int:
    """Run a cell and return the exit code: 0 done, 1 failed. Raises SimbenchError for what could not be recorded."""
    record = execute(cell.spec, cell.seed, cell.dataset, replace(place, progress=unseen, log=child.say))
    return int(record.status != "done")


def as_job(cell: SuiteCell, place: Workplace, datasets: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a cell as JSON for a fresh process, which loads its data again."""
    facts = {
        "word": cell.word,
        "settings": asdict(cell.settings),
        "datasets": datasets,
        "spec": asdict(cell.spec),
        "seed": cell.seed,
    }
    return child.job_text("bench.runs.cell", place, facts)


def _loaded(job: Mapping[str, Any], place: Workplace) -> SuiteCell:
    settings: Settings = build(Settings, job["settings"], owner="[run]")
    said = job["spec"]
    phases = said["budget"]["phases"]
    budget = Budget(**{**said["budget"], "phases": None if phases is None else tuple(phases)})
    spec = RunSpec(**{**said, "budget": budget, "ks": tuple(said["ks"])})
    cache = place.cache or Path(".")
    collection = load_collection(job["word"], Config(settings, datasets=job["datasets"]), unseen, cache)
    data = chosen_data(collection, settings, place.cache)
    if data.fingerprint != spec.fingerprint:
        raise DataError(f"{job['word']}: other images or labels here than where the suite was started")
    return SuiteCell(spec, job["seed"], data, job["word"], settings)


if __name__ == "__main__":
    child.serve(lambda job, place: work(_loaded(job, place), place))
