"""Runs that nobody trained: whole results and their run.json, for tests of what is made from runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.contract import Costs, DataFacts, ImageShape, Provenance, RunResult, RunSpec
from bench.runs.store import read_run, write_run

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
    resize=None,
    notes=(),
    counts={"train": 200, "validation": 20, "query": 100, "gallery": 100},
)
NOTHING: dict[str, Any] = {"status": "failed", "scores": {}, "macro": {}, "ci95": {}, "costs": None}  # and a reason


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
    folder = root / result.dataset / result.protocol / result.method / result.key / f"seed{result.seed}"
    write_run(folder, result)
    return folder


def change_run(folder: Path, spec: Mapping[str, Any] | None = None, **changes: Any) -> None:
    """Rewrite a run.json with other values of some fields, and of its specification's."""
    record = read_run(folder)
    if record is None:
        raise FileNotFoundError(folder)
    made = replace(record.result.spec, **(spec or {}))
    write_run(folder, replace(record.result, spec=made, **changes))
