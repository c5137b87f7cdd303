"""The frontier of approximate search on one finished run: a CSV file, a figure, and tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from bench.evaluation.indexes.recipes import REFINE, families
from bench.evaluation.indexes.sweep import Clock, Point
from bench.evaluation.ranking.retrieval_set import RetrievalSet
from bench.files import packed_arrays, packed_rows
from bench.report.figures.frontier import FACTS, POINTS, frontier_panels
from bench.report.tables.frame import without_folders
from bench.report.tables.wording import markdown_table, unscored_queries
from bench.runs.integrity import FileWriter, write_sealed
from bench.runs.provenance import provenance
from bench.runs.store import RunRecord


def write_points(
    points: Sequence[Point], record: RunRecord, folder: Path, *, k: int, threads: int, clock: Clock
) -> None:
    """Write frontier.csv, one row a point; latency.npz, every time taken, a row a point; and frontier.json.

    The last holds what made them: the run and the digest of its run.json, the settings, versions, commit and machine;
    and the digests of the others.
    """
    run = {name: getattr(record.result, name) for name in ("dataset", "protocol", "method", "key", "seed")}
    files = FileWriter(folder)
    rows = [{**run, "threads": threads, **_row(point, k)} for point in points]
    files.write(POINTS, packed_rows(rows))
    times = {"wall_ms": [one.wall_ms for one in points], "cpu_ms": [one.cpu_ms for one in points]}
    files.write("latency.npz", packed_arrays({name: np.stack(rows) for name, rows in times.items()}))
    made_by = provenance(torch.device("cpu"), threads)
    made_by = replace(made_by, command=without_folders(made_by.command))
    of_run = {"run": run, "run_digest": record.digest, "k": k, "clock": clock, "provenance": made_by}
    write_sealed(folder / FACTS, {**of_run, "files": files.digests})


def tables(points: Sequence[Point], data: RetrievalSet, *, k: int, clock: Clock) -> str:
    """Return two tables as text: each family at its best map@k, and the Pareto front, the fewest bytes first.

    data: what was searched, whose queries with nothing to find are told below.
    """
    best = [
        max((one for one in points if one.family == family), key=lambda one: (one.map_at_k, -one.latency(clock)))
        for family in families()
        if any(one.family == family for one in points)
    ]
    front = sorted((one for one in points if one.front), key=lambda one: one.bytes_per_image)
    under = unscored_queries(np.where(data.layout.relevant > 0, 1.0, np.nan))
    return (
        f"Each index at its best map@{k}:\n\n{_table(best, k)}\n\n"
        f"Pareto front ({len(front)} of {len(points)} points) in map@{k}, p95 latency ({clock}) and bytes an image:\n\n"
        f"{_table(front, k)}" + (f"\n\n{under}" if under else "")
    )


def draw(points: Sequence[Point], record: RunRecord, *, k: int, clock: Clock, threads: int) -> Figure:
    """Return map@k against p95 latency and against bytes an image: see ``frontier_panels``."""
    figure = Figure(figsize=(11, 5), layout="constrained")
    latency = "p95_ms" if clock == "wall" else "cpu_p95_ms"
    left, right = frontier_panels(figure, [_row(point, k) for point in points], latency)
    left.set(xlabel=f"p95 of one query, ms ({clock} time, {threads} thread)", ylabel=f"label map@{k}")
    right.set(xlabel="bytes an image")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    run = record.result
    figure.suptitle(f"{run.method} on {run.dataset} ({run.protocol}): approximate search")
    return figure


def _row(point: Point, k: int) -> dict[str, Any]:
    return {
        "reduction": point.reduction,
        "dims": point.dims,
        "family": point.family,
        "index": point.index,
        "setting": point.setting,
        f"map@{k}": round(point.map_at_k, 6),
        "hit@1": round(point.hit_at_1, 6),
        f"neighbor_recall@{k}": round(point.recall_at_k, 6),
        "p50_ms": round(point.latency("wall", 50), 5),
        "p95_ms": round(point.latency("wall"), 5),
        "cpu_p50_ms": round(point.latency("processor", 50), 5),
        "cpu_p95_ms": round(point.latency("processor"), 5),
        "bytes_per_image": round(point.bytes_per_image, 2),
        "build_seconds": round(point.build_seconds, 4),
        "front": point.front,
    }


def _table(points: Sequence[Point], k: int) -> str:
    rows = []
    for row in (_row(point, k) for point in points):
        times = [f"{row[name]:.3f}" for name in ("p50_ms", "p95_ms", "cpu_p95_ms")]
        scores = [f"{row[name]:.4f}" for name in (f"map@{k}", "hit@1", f"neighbor_recall@{k}")]
        searched = [row["index"].replace(REFINE, " + refine"), row["setting"], f"{row['dims']} {row['reduction']}"]
        rows.append([*searched, *scores, *times, f"{row['bytes_per_image']:.1f}"])
    head = ["index", "setting", "dims", f"map@{k}", "hit@1", f"neighbours@{k}", "p50 ms", "p95 ms", "cpu p95", "bytes"]
    return markdown_table(head, rows, "lllr")
