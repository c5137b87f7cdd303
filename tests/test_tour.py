"""examples/tour.py runs from start to end, and the notebook beside it is made from it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.training]

jupytext = pytest.importorskip("jupytext")
nbformat = pytest.importorskip("nbformat")


def sources(path: Path) -> list[tuple[str, str]]:
    return [(cell["cell_type"], cell["source"]) for cell in jupytext.read(path).cells]


def test_the_notebook_is_the_script_with_its_pictures(checkout: Path) -> None:
    notebook = checkout / "examples" / "tour.ipynb"
    assert sources(notebook) == sources(checkout / "examples" / "tour.py"), "make tour"
    outputs = [output for cell in nbformat.read(notebook, 4).cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 7
    assert not [output for output in outputs if output["output_type"] in ("error",)]
    assert notebook.stat().st_size < 1_500_000


def test_the_tour_runs_from_start_to_end(checkout: Path, tmp_path: Path) -> None:
    env = {**os.environ, "TOUR_DATASET": "digits", "TOUR_EPOCHS": "0.015", "SIMBENCH_CACHE": str(tmp_path / "cache")}
    startup = tmp_path / "ipython" / "profile_default" / "startup"  # what a kernel runs first
    startup.mkdir(parents=True)
    (startup / "quick.py").write_text("import bench.runs.costs; bench.runs.costs._PACE = 0.02")
    env["IPYTHONDIR"] = str(tmp_path / "ipython")
    made = tmp_path / "tour.ipynb"
    subprocess.run(
        [sys.executable, checkout / "examples" / "build.py", "--out", made], env=env, check=True, timeout=240
    )
    printed = "".join(
        output.get("text", "") for cell in nbformat.read(made, 4).cells for output in cell.get("outputs", [])
    )
    assert "with half the dimensions" in printed
