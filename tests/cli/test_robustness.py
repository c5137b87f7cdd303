"""``simbench robustness`` and the suites of curves, as a user calls them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

SUITE = """
[suite.curves]
methods = ["pixels", "pca"]
datasets = ["digits"]
protocols = ["loo"]
limit = 80
epochs = 1
labels_per_class = [1, "all"]
robustness = true
"""


def test_a_run_is_swept_told_and_not_swept_again(simbench: Callable[..., Any], tmp_path: Path) -> None:
    assert simbench("run", "-m", "pixels", "--protocol", "loo", "--limit", "100", "--threads", "1", "-q").code == 0
    first = simbench("robustness", "runs", "--threads", "1")
    assert first.code == 0, first.err
    assert "## digits · loo · limit 100" in first.out
    (path,) = (tmp_path / "runs").rglob("robustness.json")
    written = path.stat().st_mtime_ns
    assert (tmp_path / "runs" / "report" / "robustness.csv").is_file()
    again = simbench("robustness", str(path.parent), "--threads", "1")
    assert "done already" in again.err
    assert again.out == first.out
    assert path.stat().st_mtime_ns == written


def test_a_folder_without_runs_is_a_usage_error_and_wrong_images_a_failure(
    simbench: Callable[..., Any], pictures: Path
) -> None:
    nothing = simbench("robustness", str(pictures))
    assert nothing.code == 2
    assert "no finished run in it; give the folder of a run, the one with a run.json" in nothing.err
    assert simbench("run", "-m", "pixels", "-d", str(pictures), "--threads", "1", "-q").code == 0
    wrong = simbench("robustness", "runs", "-d", "digits", "--threads", "1", "-q")
    assert wrong.code == 1
    assert "name the right ones with --dataset" in wrong.err
    assert simbench("robustness", "runs", "-d", str(pictures), "--threads", "1", "-q").code == 0


def test_a_suite_runs_its_budgets_then_sweeps_them_once(program: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "bench.toml").write_text(SUITE, encoding="utf-8")
    words = ("bench", "--suite", "curves", "--threads", "1")
    first = program(*words)
    assert first.code == 0, first.err
    swept = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("robustness.json")}
    assert len(swept) == 4
    text = (tmp_path / "runs" / "report" / "labels.md").read_text()
    assert "pixels" in text
    assert "pca" in text
    assert (tmp_path / "runs" / "report" / "robustness.md").is_file()
    again = program(*words)
    assert again.code == 0, again.err
    assert again.err.count("done already") == 4
    assert {path: path.stat().st_mtime_ns for path in swept} == swept


def test_a_label_budget_of_the_command_line_is_a_row_of_its_own(simbench: Callable[..., Any], tmp_path: Path) -> None:
    words = ("run", "-m", "pixels", "--protocol", "loo", "--limit", "100", "--threads", "1", "-q")
    assert simbench(*words).code == 0
    few = simbench(*words, "--labels-per-class", "5")
    assert few.code == 0, few.err
    assert "## digits · loo · labels per class 5" in few.out
    assert "| pixels | 0." in (tmp_path / "runs" / "report" / "labels.md").read_text().replace("  ", " ")
    both = simbench(*words, "--labels-per-class", "5", "--per-class", "5")
    assert both.code == 2
    assert "not both" in both.err
