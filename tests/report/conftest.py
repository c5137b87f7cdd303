"""Run folders of real digits, as `simbench run` leaves them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from bench.evaluation.evaluate import evaluate
from bench.files import write_arrays, write_json
from bench.runs.store import SCHEMA

COUNT = 300
MADE_BY = {
    "device": "cpu",
    "threads": 1,
    "cpu": "A CPU",
    "gpu": None,
    "ram_gib": 8.0,
    "packages": {"torch": "2.9"},
    "simbench": "0.1.0",
    "commit": "a" * 40,
    "dirty": False,
    "date": "2026-01-02T03:04:05+00:00",
    "command": "simbench run",
}

WriteRun = Callable[..., Path]


def write(
    root: Path,
    method: str,
    vectors: NDArray[Any] | None = None,
    *,
    seed: int = 0,
    dataset: str = "digits",
    protocol: str = "loo",
    options: dict[str, Any] | None = None,
    budget: dict[str, Any] | None = None,
    revision: str = "",
    **changes: Any,
) -> Path:
    """Write a run in which 300 digits ask each other by these vectors; a failed one without vectors."""
    spec = {
        "fingerprint": revision or f"{dataset}-{protocol}-data",
        "options": options or {},
        "budget": {"epochs": None, "phases": None, "seconds": None, **(budget or {})},
        "ties": "pessimistic",
    }
    key = hashlib.sha256(json.dumps([dataset, protocol, method, spec], sort_keys=True).encode()).hexdigest()[:10]
    content: dict[str, Any] = {
        "schema": SCHEMA,
        "status": "failed" if vectors is None else "done",
        "dataset": dataset,
        "protocol": protocol,
        "method": method,
        "seed": seed,
        "key": key,
        "spec": spec,
        "trained": False,
        "seconds": 1.0,
        "provenance": MADE_BY,
    }
    folder = root / dataset / protocol / method / key / f"seed{seed}"
    if vectors is not None:
        labels, ids = load_digits().target[:COUNT], [f"test/{number}" for number in range(COUNT)]
        found = evaluate(vectors, labels, vectors, labels, query_ids=ids, gallery_ids=ids, threads=1)
        content |= {"scores": found.scores, "ci95": {name: list(ends) for name, ends in found.ci95.items()}}
        content |= {"embed_dim": vectors.shape[1], "bytes_per_vector": 4 * vectors.shape[1], "flags": []}
        names = {"ids": np.array(ids), "labels": labels, "classes": np.array([str(digit) for digit in range(10)])}
        gallery = {"gallery_ids": names["ids"], "gallery_labels": labels}
        write_arrays(folder / "per_query.npz", {**names, **gallery, **found.per_query})
    write_json(folder / "run.json", {**content, **changes})
    return folder


@pytest.fixture(scope="session")
def write_run() -> WriteRun:
    """What writes a run folder: ``write_run(root, method, vectors, ...)``."""
    return write


@pytest.fixture(scope="session")
def ways() -> dict[str, NDArray[Any]]:
    """Vectors of 300 real digits, the best first: raw, centred, and of two random projections of few numbers."""
    pixels = load_digits().data[:COUNT]
    rng = np.random.default_rng(0)
    return {
        "centred": pixels - pixels.mean(axis=0),
        "raw": pixels + 0.1,
        "ten": (pixels - pixels.mean(axis=0)) @ rng.standard_normal((64, 10)),
        "three": (pixels - pixels.mean(axis=0)) @ rng.standard_normal((64, 3)),
    }
