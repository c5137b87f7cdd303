"""kill -9 at any moment: the same command finishes the run, with the scores of a run that was never killed."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
from programs import SHORT_EPOCHS, Program

from bench.runs.store import RunRecord, all_runs

pytestmark = [pytest.mark.faults, pytest.mark.slow]

WORDS = [
    "run",
    "-m",
    "arcface",
    "--limit",
    "100",
    "--epochs",
    "2.4",
    "-o",
    "batch_size=32",
    "-o",
    "encoder=simplecnn",
    "--threads",
    "1",
    "--quiet",
]


def start(folder: Path) -> Program:
    folder.mkdir(exist_ok=True)
    return Program(WORDS, folder, {"SIMBENCH_CACHE": str(folder / "cache")}, code=SHORT_EPOCHS)


def finished(folder: Path) -> RunRecord:
    assert start(folder).wait() == 0
    (run,) = all_runs(folder / "runs")
    return run


def test_a_run_killed_at_random_moments_ends_like_one_that_was_not(tmp_path: Path) -> None:
    began = time.monotonic()
    whole = finished(tmp_path / "whole")
    length = time.monotonic() - began
    rng = np.random.default_rng()
    kills = int(os.environ.get("KILLS", "2"))
    for _ in range(kills):
        process = start(tmp_path / "broken")
        time.sleep(float(rng.uniform(0.1, 0.98)) * length)
        process.kill()
        process.wait()
        for run in all_runs(tmp_path / "broken" / "runs"):  # whatever is read as a result is whole
            assert run.status == "done"
            assert run.result.scores == whole.result.scores
    rest = finished(tmp_path / "broken")
    assert rest.result.scores == whole.result.scores
    assert rest.result.key == whole.result.key
    history, again = ((run.folder / "history.csv").read_text().splitlines() for run in (whole, rest))
    assert [line.split(",")[:3] for line in history] == [line.split(",")[:3] for line in again]
