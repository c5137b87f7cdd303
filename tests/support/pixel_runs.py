"""A run of the method pixels that the command line makes once, and a copy of it for each test."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any


def copy_of_pixels(simbench: Callable[..., Any], runs: Path, folder: Path, *words: str) -> Path:
    """Return a copy, in a folder, of the run below ``runs``, made for the first test that asks for it."""
    if not runs.exists():
        done = simbench("run", "-m", "pixels", *words, "--threads", "1", "-q", "--runs", str(runs))
        assert done.code == 0, done.err
    shutil.copytree(runs, folder / "runs")
    (found,) = folder.glob("runs/digits/*/pixels/*/seed0")
    return Path(found)
