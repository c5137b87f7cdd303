"""Runs that nobody trained: whole results and their run.json, for tests of what is made from runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.contract import Costs, DataFacts, ImageShape, Provenance, RunResult, RunSpec
from bench.evaluation.ranking.arrays import Floats, Ints
from bench.evaluation.statistics.estimates import Measured
from bench.evaluation.statistics.jackknife import THESE_CLASSES, Replicates, groups_of_classes, groups_of_images
from bench.files import packed_arrays
from bench.runs.artifacts import REPLICATES, read_arrays, save_replicates
from bench.runs.integrity import FileWriter
from bench.runs.store import RunRecord, read_run, run_folder, write_run

MADE_BY = Provenance(
    simbench="0.1.0",
    commit="a" * 40,
    dirty=False,
    date="2026-01-02T03:04:05+00:00",
    command="simbench run",
    python="3.11.7",
    packages={"torch": "2.9"},
    system="Linux",
    cpu="A CPU",
    cores=2,
    ram_gib=8.0,
    gpu=None,
    device="cpu",
    threads=1,
)
DATA = DataFacts(
    shape=ImageShape(8, 8, 1),
    classes=10,
    learnt_classes=None,
    gallery_is_train=False,
    query_in_gallery=True,
    seen_classes=True,
    mirror=False,
    notes=(),
    counts={"train": 200, "validation": 20, "query": 100, "gallery": 100},
)
NOTHING: dict[str, Any] = {  # and a reason
    "status": "failed", "scores": {}, "macro": {}, "ci95": {}, "ci95_other_classes": {}, "costs": None,
}  # fmt: skip


def fake_spec(**changes: Any) -> RunSpec:
    """Return a specification: pixels on the digits, each asking all others, but for what is given."""
    return replace(RunSpec("digits", "loo", "pixels", "f" * 64), **changes)


def fake_result(spec: RunSpec, **changes: Any) -> RunResult:
    """Return a finished run of a specification, or with a reason to fail a failed one, but for what is given."""
    facts: dict[str, Any] = {"seed": 0, "key": spec.key, "seconds": 1.0, "provenance": MADE_BY, "data": DATA}
    if "reason" in changes:
        facts["status"] = "failed"
    else:
        facts |= {"status": "done", "scores": {"map": 0.5}, "costs": Costs(embedding_dim=64, bytes_per_vector=256)}
    return RunResult(spec=spec, **{**facts, **changes})


def write_fake(root: Path, result: RunResult) -> Path:
    """Write a run's run.json where the run would lie, and return its folder."""
    folder = run_folder(root, result.spec, result.seed)
    write_run(folder, result)
    return folder


def write_beside(folder: Path, name: str, content: Mapping[str, Any] | bytes) -> None:
    """Write a file beside a run.json as the run would have: an npz file of arrays, or bytes, with its digest."""
    files = FileWriter(folder)
    files.write(name, content if isinstance(content, bytes) else packed_arrays(content))
    add_digests(folder, files)


def add_digests(folder: Path, files: FileWriter) -> None:
    """Rewrite a run.json so that it has the digests of what was written beside it."""
    change_run(folder, files={**record_in(folder).result.files, **files.digests})


def record_in(folder: Path) -> RunRecord:
    """Return the run in a folder. Raises FileNotFoundError where there is none."""
    record = read_run(folder)
    if record is None:
        raise FileNotFoundError(folder)
    return record


def write_replicates(folder: Path, labels: Ints, values: Mapping[str, Floats]) -> None:
    """Write the replicates.npz of a run whose queries ask a gallery in which nothing is ever missing.

    values: what they scored, float64 ``(q,)`` by metric; labels: int64 ``(q,)``.
    """
    nothing = np.empty(0, dtype=np.int64)
    both, images = (labels, nothing), (np.arange(len(labels)), nothing)
    groups = Replicates({}, {}, groups_of_images(both, images), groups_of_classes(both))
    files = FileWriter(folder)
    save_replicates(files, groups.of_values(values))
    add_digests(folder, files)


def measured_in(folders: Sequence[Path], metric: str, estimand: str = THESE_CLASSES) -> Measured:
    """Return what these run folders, a seed each, say of a metric, from run.json and replicates.npz alone."""
    records, name = [record_in(folder) for folder in folders], f"{estimand}/{metric}"
    scores = [record.result.scores[metric] for record in records]
    return Measured(np.array(scores), np.stack([read_arrays(one, REPLICATES, name)[name] for one in records]))


def change_run(folder: Path, spec: Mapping[str, Any] | None = None, **changes: Any) -> Path:
    """Rewrite a run.json with other values of some fields, and of its specification's, and return where it lies now."""
    result = record_in(folder).result
    made = replace(result.spec, **(spec or {}))
    changed = replace(result, spec=made, key=made.key, **changes)
    place = folder
    if folder.parts[-5:] == run_folder(Path(), result.spec, result.seed).parts:  # in a tree of runs
        place = run_folder(folder.parents[4], made, changed.seed)
        place.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(place)
    write_run(place, changed)
    return place
