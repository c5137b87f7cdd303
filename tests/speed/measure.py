"""Every speed script in one table: ratios measured side by side, because the machines' clocks are not to be trusted.

Run by ``make speed``; writes ``results/speed.md``. Each script beside this one that has ``rows`` can be run alone.
"""

from __future__ import annotations

import platform
import runpy
import sys
from datetime import UTC, datetime
from pathlib import Path

import torch
from tabulate import tabulate

from bench.runs.provenance import cpu_name, git_commit

SCRIPTS = ("ranking", "training", "features")
HERE = Path(__file__).parent


def main() -> None:
    rows = []
    for name in SCRIPTS:
        sys.stderr.write(f"{name} ...\n")
        rows += runpy.run_path(str(HERE / f"{name}.py"))["rows"]()
    commit, dirty = git_commit(HERE.parents[1])
    text = tabulate(rows, ["what", "simbench", "beside it", "ratio"], tablefmt="pipe", disable_numparse=True)
    page = (
        "# Speed\n\nMade by `make speed`: each pair is measured in turn in one process; medians. The scripts are in "
        "`tests/speed/` and say what stands beside ours.\n\n"
        f"{text}\n\n{datetime.now(UTC):%Y-%m-%d}, {cpu_name()}, {torch.get_num_threads()} threads unless a row says "
        f"otherwise, Python {platform.python_version()}, torch {torch.__version__}, commit {str(commit)[:10]}"
        f"{'+' if dirty else ''}.\n"
    )
    Path("results").mkdir(exist_ok=True)
    Path("results/speed.md").write_text(page, encoding="utf-8")
    sys.stdout.write(page)


if __name__ == "__main__":
    main()
