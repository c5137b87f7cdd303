"""What a method costs in use: the latency of embedding and of searching, with the raw samples kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from bench.contract import Dataset, Method
from bench.evaluation.arrays import Vectors
from bench.evaluation.latency import Latency, embed_latency, search_latency
from bench.runs.store import write_arrays

_BATCHES = (1, 64)


def measure_latencies(
    method: Method, dataset: Dataset, query: Vectors, gallery: Vectors, *, device: torch.device, threads: int
) -> list[Latency]:
    """Time embedding one image and 64, and searching the whole gallery for one query."""
    embedding = [
        embed_latency(method, dataset.query.images, device=device, batch=batch, threads=threads) for batch in _BATCHES
    ]
    return [*embedding, search_latency(query, gallery, threads=threads)]


def latency_columns(latencies: Sequence[Latency]) -> dict[str, float]:
    """Return the numbers of the tables: median and 95th percentile in milliseconds, images or queries a second."""
    columns = {}
    for one in latencies:
        name = f"{one.what}_{one.batch}" if one.what == "embed" else one.what
        columns[f"{name}_median_ms"] = one.median_ms
        columns[f"{name}_p95_ms"] = one.p95_ms
        columns[f"{name}_per_second"] = one.per_second
    return columns


def save_latencies(folder: Path, latencies: Sequence[Latency]) -> None:
    """Write ``latency.npz``: int64 nanoseconds of every timed call, ``embed_1``, ``embed_64`` and ``search_1``."""
    write_arrays(
        folder / "latency.npz",
        {f"{one.what}_{one.batch}": np.array(one.samples_ns, np.int64) for one in latencies},
    )
