"""Corrupted queries against the clean gallery of a finished run: how much of its scores is left. Nothing is trained.

In the run's folder, beside run.json:
    robustness.json   every condition's scores with intervals, and the paired drop from the clean queries; written last
    robustness.npz    their values for every query, condition by condition; a sweep that was stopped resumes from it

robustness.json has a digest of itself, of run.json and of robustness.npz: a sweep is read with its own run only.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.contract import DataError, SimbenchError, to_jsonable
from bench.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from bench.evaluation.cost.timing import fixed_threads
from bench.evaluation.evaluate import evaluate_set
from bench.evaluation.ranking.retrieval_set import RetrievalSet
from bench.evaluation.statistics.estimates import estimate, of_queries
from bench.files import packed_arrays, write_arrays
from bench.runs.artifacts import PER_QUERY, arrays_in, read_arrays, read_vectors
from bench.runs.integrity import DamagedError, FileWriter, check_seal, read_json, verify, write_sealed
from bench.runs.loaded_run import TrainedRun, open_run
from bench.runs.provenance import provenance
from bench.runs.ranked import ranked_set
from bench.runs.store import RunRecord, locked

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from bench.contract import Progress, Split
    from bench.evaluation.ranking.arrays import Floats, Vectors

ROBUSTNESS = "robustness.json"
VALUES = "robustness.npz"
METRICS = ("map", "hit@1")
SCHEMA = 2
SEED = 0  # of the corruptions: all runs are asked the same corrupted images
_AT_ONCE = 1 << 23  # pixel values that are corrupted at a time: 32 MB as floats
_MOST_AT_ONCE = 256
_CHECKED = 64  # clean queries that must embed as they did
_LEAST_COSINE = 0.99  # half precision and other machines stay above .999


@dataclass(frozen=True)
class Condition:
    """A corruption at a severity; ``name`` is also what its columns in robustness.npz begin with."""

    corruption: str
    severity: int

    @property
    def name(self) -> str:
        return f"{self.corruption}-{self.severity}"


def conditions(channels: int) -> list[Condition]:
    """Return all conditions for images of so many channels: grey ones have no colour to lose."""
    kinds = [one.name for one in CORRUPTIONS.values() if channels > 1 or not one.colour]
    return [Condition(kind, severity) for kind in kinds for severity in SEVERITIES]


def read_robustness(record: RunRecord) -> Mapping[str, Any] | None:
    """Return what a finished sweep found, or None: not swept, or the run or the corruptions have changed since.

    Raises DamagedError for a file that cannot be read, or is not as it was written.
    """
    path = record.folder / ROBUSTNESS
    try:
        found = read_json(path)
        if found.get("schema") != SCHEMA:
            return None
        check_seal(path, found)
    except FileNotFoundError:
        return None
    except DamagedError as error:
        raise DamagedError(f"{error}; delete it to sweep again") from error
    return found if found.get("plan") == _plan(record) else None


def read_values(record: RunRecord, found: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return the values behind a sweep by ``condition/metric``, float64 ``(q,)``; found: what robustness.json holds.

    Raises DataError where they are gone or damaged.
    """
    return arrays_in(verify(record.folder / VALUES, found["files"][VALUES]), *names)


def sweep_run(
    record: RunRecord, query: Split, *, device: torch.device, threads: int, progress: Progress, force: bool = False
) -> Mapping[str, Any]:
    """Ask a finished run all corrupted queries, unless that is done already, and return what robustness.json holds.

    query: the images that the run was scored on (`bench.runs.loaded_run`). Raises SimbenchError where the run kept no
    weights or embeds otherwise than it did, DataError where the images are not its own.
    """
    with locked(record.folder):
        known = None if force else read_robustness(record)
        if known is not None:
            return known
        if force:
            # the summary first: a sweep that is stopped half-way must not be read as a finished one
            for name in (ROBUSTNESS, VALUES):
                (record.folder / name).unlink(missing_ok=True)
        started = time.perf_counter()
        with fixed_threads(threads):
            sweep = _Sweep.of(record, query, device, threads)
            values = sweep.measure(progress, _half_done(record))
        files = FileWriter(record.folder)
        files.write(VALUES, packed_arrays({"plan": _plan_text(record), **values}))
        content = {
            "schema": SCHEMA,
            "plan": _plan(record),
            "queries": len(query),
            **_summary(values, sweep, query),
            "seconds": round(time.perf_counter() - started, 3),
            "provenance": to_jsonable(provenance(device, threads)),
            "files": files.digests,
        }
        write_sealed(record.folder / ROBUSTNESS, content)
    return content


@dataclass(frozen=True)
class _Sweep:
    """A run that is asked corrupted queries.

    data: its clean queries and its gallery; clean: their values by metric, float64 ``(q,)``.
    """

    run: TrainedRun
    query: Split
    data: RetrievalSet
    clean: Mapping[str, Floats]
    threads: int

    @classmethod
    def of(cls, record: RunRecord, query: Split, device: torch.device, threads: int) -> _Sweep:
        run = open_run(record.folder, device)
        kept = read_arrays(record, PER_QUERY, "ids", "labels", *METRICS)
        if not (np.array_equal(kept["ids"], query.ids) and np.array_equal(kept["labels"], query.labels)):
            raise DataError(f"{record.folder}: these are not the queries that the run was asked")
        some, vectors = query.images.take(slice(0, _CHECKED)), read_vectors(record)["query"]
        cosines = (run.embed(some) * vectors[: len(some)]).sum(axis=1)
        if cosines.min() < _LEAST_COSINE:
            raise SimbenchError(
                f"{record.folder}: the method does not embed clean queries as it did when the run was scored (cosine "
                f"{cosines.min():.4f}); run it again (--force)"
            )
        data = ranked_set(record, normalize=False)  # by id, the clean original is no answer to its corrupted copy
        return cls(run, query, data, {metric: kept[metric] for metric in METRICS}, threads)

    @property
    def conditions(self) -> list[Condition]:
        return conditions(self.run.shape.channels)

    def measure(self, progress: Progress, known: Mapping[str, Floats]) -> dict[str, Floats]:
        """Return every condition's values, float64 ``(q,)`` by ``condition/metric``, and keep them as they come."""
        folder, values = self.run.record.folder, dict(known)
        for one in progress(self.conditions, total=len(self.conditions), what="corruptions"):
            if f"{one.name}/{METRICS[0]}" in values:
                continue
            values |= self._scored(one)
            write_arrays(folder / VALUES, {"plan": _plan_text(self.run.record), **values})
        return values

    def _scored(self, condition: Condition) -> dict[str, Floats]:
        ties = self.run.record.result.spec.ties
        asked = self.data.with_query(self._embedded(condition))
        found = evaluate_set(asked, ks=(1,), ties=ties, threads=self.threads, replicates=False)
        return {f"{condition.name}/{metric}": found.per_query[metric] for metric in METRICS}

    def _embedded(self, condition: Condition) -> Vectors:
        shape, query = self.run.shape, self.query
        step = max(1, min(_MOST_AT_ONCE, _AT_ONCE // (shape.height * shape.width * shape.channels)))
        parts = []
        for first in range(0, len(query), step):
            rows = slice(first, first + step)
            pixels, ids = query.images.take(rows), query.ids[rows]
            damaged = corrupt(pixels, ids, condition.corruption, condition.severity, seed=SEED)
            parts.append(self.run.embed(damaged))
        return np.concatenate(parts)


def _summary(values: Mapping[str, Floats], sweep: _Sweep, query: Split) -> dict[str, Any]:
    """Return scores and paired drops with their intervals, all over other queries to the same gallery."""
    columns = {f"clean/{metric}": sweep.clean[metric] for metric in METRICS} | dict(values)
    for metric in METRICS:
        drops = {one.name: sweep.clean[metric] - values[f"{one.name}/{metric}"] for one in sweep.conditions}
        columns |= {f"{name}/drop/{metric}": drop for name, drop in drops.items()}
        columns[f"mean/drop/{metric}"] = np.mean(list(drops.values()), axis=0)
    found = {name: estimate(of_queries(values[None], query.labels)) for name, values in columns.items()}

    def told(prefix: str) -> dict[str, Any]:
        names = {metric: f"{prefix}/{metric}" for metric in METRICS}
        return {
            "scores": {metric: found[name].mean for metric, name in names.items()},
            "ci95": {metric: [found[name].low, found[name].high] for metric, name in names.items()},
        }

    return {
        "clean": told("clean"),
        "mean_drop": told("mean/drop"),
        "conditions": [
            {
                "corruption": one.corruption,
                "severity": one.severity,
                "level": CORRUPTIONS[one.corruption].levels[one.severity - 1],
                "unit": CORRUPTIONS[one.corruption].unit,
                **told(one.name),
                "drop": told(f"{one.name}/drop"),
            }
            for one in sweep.conditions
        ],
    }


def _plan(record: RunRecord) -> dict[str, Any]:
    """Return what decides a sweep: the run, and the corruptions; another plan is another sweep."""
    run = record.result
    kinds = {one.corruption: list(CORRUPTIONS[one.corruption].levels) for one in conditions(run.data.shape.channels)}
    return {"run": record.digest, "seed": SEED, "corruptions": kinds}


def _plan_text(record: RunRecord) -> NDArray[np.str_]:
    return np.array(json.dumps(_plan(record), sort_keys=True))


def _half_done(record: RunRecord) -> dict[str, Floats]:
    """Return the values of an earlier start of the same sweep."""
    path: Path = record.folder / VALUES
    if not path.is_file():
        return {}
    kept = arrays_in(path)
    return kept if str(kept.pop("plan", "")) == str(_plan_text(record)) else {}
