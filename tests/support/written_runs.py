"""Run folders of real digits, as `simbench run` leaves them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from fake_runs import add_digests, fake_result, fake_spec, write_fake
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from bench.contract import Budget, Costs
from bench.evaluation.evaluate import Evaluation, evaluate
from bench.files import packed_arrays
from bench.runs.artifacts import save_replicates
from bench.runs.integrity import FileWriter

COUNT = 300
WriteRun = Callable[..., Path]
IDS = [f"test/{number}" for number in range(COUNT)]


@cache
def scored(vectors: bytes, dim: int) -> Evaluation:
    """Return what these float64 vectors score; the same few are asked for by many tests."""
    rows, labels = np.frombuffer(vectors).reshape(COUNT, dim), load_digits().target[:COUNT]
    return evaluate(rows, labels, rows, labels, query_ids=IDS, gallery_ids=IDS, threads=1)


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
    choices: Mapping[str, Any] = MappingProxyType({}),
    **changes: Any,
) -> Path:
    """Write a run in which 300 digits ask each other by these vectors; a failed one without vectors.

    choices: more of its specification, such as ties.
    """
    spec = fake_spec(
        dataset=dataset,
        protocol=protocol,
        method=method,
        fingerprint=revision or f"{dataset}-{protocol}-data",
        options=options or {},
        budget=Budget(**(budget or {})),
        **choices,
    )
    if vectors is None:
        return write_fake(root, fake_result(spec, **{"seed": seed, "reason": "it broke", **changes}))
    dim = vectors.shape[1]
    found = scored(vectors.astype(np.float64).tobytes(), dim)
    facts = {
        "scores": found.scores,
        "ci95": found.ci95,
        "ci95_other_classes": found.ci95_other_classes,
        "costs": Costs(dim, changes.pop("bytes_per_vector", 4 * dim)),
        **changes,
    }
    folder = write_fake(root, fake_result(spec, seed=seed, **facts))
    labels = load_digits().target[:COUNT]
    names = {"ids": np.array(IDS), "labels": labels, "classes": np.array([str(digit) for digit in range(10)])}
    gallery = {"gallery_ids": names["ids"], "gallery_labels": labels}
    files = FileWriter(folder)
    nearest = {"neighbors": found.neighbors, "similarities": found.similarities}
    files.write("per_query.npz", packed_arrays({**names, **gallery, **found.per_query, **nearest}))
    save_replicates(files, found.replicates)
    add_digests(folder, files)
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
