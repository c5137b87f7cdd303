"""``simbench leaderboard`` and what every run prints: tables that fit, files beside the runs, publishing on request."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tabulate import tabulate

from bench.cli.terminal import fitted

pytestmark = pytest.mark.slow


def git(folder: Path, *words: str) -> str:
    """Run git in a folder and return what it says."""
    names = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    return subprocess.run(["git", *names, *words], cwd=folder, check=True, capture_output=True, text=True).stdout


def table_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("|")]


def test_what_make_demo_does_leaves_git_status_clean(
    simbench: Callable[..., Any], checkout: Path, tmp_path: Path
) -> None:
    shutil.copy(checkout / ".gitignore", tmp_path)
    shutil.copytree(checkout / "results" / "unseen", tmp_path / "results" / "standard")
    (tmp_path / ".git" / "info").mkdir(parents=True)
    git(tmp_path, "init", "-q")
    (tmp_path / ".git" / "info" / "exclude").write_text("/cache/\n", encoding="utf-8")  # the tests' own
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "published")
    demo = [
        line for line in (checkout / "Makefile").read_text(encoding="utf-8").splitlines() if "$(BIN)/simbench" in line
    ]
    assert any("simbench report" in line for line in demo)
    run = simbench("run", "-m", "pixels", "-m", "random", "-d", "digits", "--protocol", "loo", "--limit", "200", "-q")
    assert run.code == 0, run.err
    assert "leaderboard: runs/report/leaderboard.md" in run.out
    assert simbench("report", "-q").out.startswith("report: runs/report/report.html")
    assert simbench("leaderboard").code == 0
    assert git(tmp_path, "status", "--short") == ""

    refused = simbench("leaderboard", "--publish", "standard")
    assert refused.code == 1
    assert refused.err.startswith("simbench: results/standard has 14 rows that no finished run here has: fashionmnist")
    assert len(refused.err.splitlines()) == 1
    assert git(tmp_path, "status", "--short") == ""
    assert simbench("leaderboard", "--publish", "mine").code == 0
    assert simbench("report", "--publish", "mine", "-q", "--no-images").code == 0
    assert git(tmp_path, "status", "--short") == "?? results/README.md\n?? results/mine/\n"
    assert (tmp_path / "results" / "mine" / "report.html").is_file()


@pytest.mark.parametrize("columns", [100, 80])
def test_tables_fit_a_terminal_of_100_columns_and_less(
    simbench: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, three_runs: Path, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    done = simbench("leaderboard", "--runs", str(three_runs / "runs"), "--report-dir", "tables")
    assert done.code == 0, done.err
    heads, _, *rows = table_of(done.out)
    names = ["#", "method", "map ↑", "hit@1 ↑", "ms ↓", "bytes ↓", "train s ↓"]
    assert [cell.strip() for cell in heads.strip("|").split("|")] == names
    assert len(rows) == 3
    assert max(len(line) for line in done.out.splitlines() if not line.startswith("written")) <= columns
    wide = simbench("leaderboard", "--runs", str(three_runs / "runs"), "--report-dir", "tables", "--wide")
    assert len(table_of(wide.out)[0]) > 100
    assert table_of(Path("tables/leaderboard.md").read_text(encoding="utf-8")) == table_of(wide.out)


def test_a_wider_terminal_has_as_many_more_columns_as_fit(
    simbench: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, three_runs: Path
) -> None:
    monkeypatch.setenv("COLUMNS", "150")
    done = simbench("leaderboard", "--runs", str(three_runs / "runs"), "--report-dir", "tables")
    heads = [cell.strip() for cell in table_of(done.out)[0].strip("|").split("|")]
    assert heads[7:9] == ["input", "± 95 %"]
    assert 100 < len(table_of(done.out)[0]) <= 150


def test_a_long_name_is_cut_before_a_row_would_wrap() -> None:
    name = "arcface (encoder=timm/wide_resnet50_2, margin=0.4)"
    table = tabulate(
        [["1", name, "0.869"]], ["#", "method", "map"], tablefmt="pipe", colalign=["right", "left", "right"]
    )
    text = f"![a figure](x.svg)\n\n{table}"
    lines = fitted(text, 50).splitlines()
    assert all(len(line) <= 50 for line in lines)
    assert "| arcface (encoder=timm/" in lines[-1]
    assert "… | 0.869 |" in lines[-1]
    assert "figure" not in lines[0]
    assert fitted(text, 200).splitlines()[-1] == text.splitlines()[-1]


def test_force_needs_a_set_and_figures_are_not_published(simbench: Callable[..., Any]) -> None:
    alone = simbench("leaderboard", "--force")
    assert (alone.code, "give --publish NAME too" in alone.err) == (2, True)
    both = simbench("report", "--publish", "mine", "--figures")
    assert (both.code, "--figures and --publish" in both.err) == (2, True)
