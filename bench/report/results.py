"""The ``results/`` folder: every table and picture in it is made from run folders and from nothing else."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bench.report.frame import runs_frame
from bench.report.leaderboard import leaderboard
from bench.report.reconstructions import write_reconstructions
from bench.runs.store import RunRecord, all_runs, write_bytes


def write_results(runs: Path, results: Path) -> pd.DataFrame:
    """Rebuild the results folder from all runs under ``runs`` and return the table of runs.

    Writes ``runs.csv`` (a row a run), ``<dataset>.csv`` (the same for one data set), ``leaderboard.md``, and a row of
    reconstructions for each decoding method. Raises SimbenchError if the folder cannot be written.
    """
    records = all_runs(runs)
    frame = runs_frame(records)
    _write_csv(results / "runs.csv", frame)
    for name, group in frame.groupby("dataset"):
        _write_csv(results / f"{name}.csv", group.dropna(axis="columns", how="all"))
    write_bytes(results / "leaderboard.md", leaderboard(frame).encode())
    for record in records:
        write_reconstructions(record, results / "figures" / f"{_name(record)}-reconstructions.png")
    return frame


def _write_csv(path: Path, frame: pd.DataFrame) -> None:
    write_bytes(path, frame.to_csv(index=False, lineterminator="\n").encode())


def _name(run: RunRecord) -> str:
    return (
        "-".join(str(run.content[part]) for part in ("dataset", "protocol", "method", "key"))
        + f"-seed{run.content['seed']}"
    )
