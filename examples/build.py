"""Make ``tour.ipynb`` from ``tour.py``: convert the percent script, run it, keep the pictures. ``make tour``.

    python examples/build.py [--out FILE]

Data set and epochs come from TOUR_DATASET and TOUR_EPOCHS (see the script); runs are kept in a temporary folder.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent
_LONGEST = 3_600  # seconds a cell may take


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE / "tour.ipynb")
    asked = parser.parse_args()
    notebook = jupytext.read(HERE / "tour.py")
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:02d}"  # else random: a notebook made again would differ everywhere
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("TOUR_RUNS", "runs")
        NotebookClient(
            notebook, timeout=_LONGEST, kernel_name="python3", resources={"metadata": {"path": folder}}
        ).execute()
    for cell in notebook.cells:
        cell.get("metadata", {}).pop("execution", None)  # clock times
    nbformat.write(notebook, asked.out)


if __name__ == "__main__":
    main()
