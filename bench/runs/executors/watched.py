"""A fresh interpreter with a cell in it, watched until it ends: what a Ray task does."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.runs.executors.executor import Limits
from bench.runs.executors.process import CellProcess

_PAUSE = 0.05


def run_watched(job: str, limits: Mapping[str, Any], log: str) -> dict[str, Any]:
    """Run a job to its end, or its limits', and return its `Ended` as plain values, which travel between machines."""
    process = CellProcess.spawned(job, Limits(**limits), Path(log))
    try:
        while (ended := process.check()) is None:
            time.sleep(_PAUSE)
    except BaseException:  # Ray cancels a task by raising in it, whatever it raises: the cell must not outlive it
        process.kill()
        raise
    return asdict(ended)
