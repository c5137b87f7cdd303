"""``simbench bench`` as a user calls it: its words, its plan, its tables."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from fake_runs import fake_spec

from bench import devices
from bench.cli.bench import _say_plan
from bench.config import Settings
from bench.contract import Workplace, no_progress
from bench.executors.executor import Limits
from bench.runs.integrity import DIGEST, read_sealed, write_sealed
from bench.runs.store import all_runs
from bench.suites.cost_model import Prediction
from bench.suites.expansion import SuiteCell
from bench.suites.planning import Plan

pytestmark = pytest.mark.slow

SUITE = """
[suite.quick]
methods = ["pixels", "triplet"]
datasets = ["digits", "./not-here"]
protocols = ["loo"]
limit = 120
epochs = 0.1
cell_time = "5m"
options = { batch_size = [16], encoder = ["simplecnn"] }
"""


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--suite", "quik"], "unknown suite 'quik'; did you mean 'quick'? (there are: quick, standard,"),
        (["--budget", "soon"], "expected a duration"),
        (["--cell-time", "soon"], "expected a duration"),
        (["--cell-memory", "much"], "expected an amount of memory such as 8G or 512M, got 'much'"),
        (["--jobs", "0"], "x>=1"),
        (["--rank-by", "map@7"], "needs the depth 7: add --set run.ks=1,7,10,50"),
        (["--address", "auto"], "give --executor ray too"),
        (["--set", "suite.quick.method=pixels"], "has no key 'method'; did you mean 'methods'?"),
        (["--set", "suite.quick.options.margni=1"], "no method of the suite takes 'margni'; did you mean 'margin'?"),
        (["--set", "suite.quick.epochs=none", "--budget", "1h"], "--budget cuts the suite's epochs, and it says none"),
    ],
)
def test_a_mistake_in_the_words_is_told_in_one_line_with_exit_code_2(
    simbench: Callable[..., Any], tmp_path: Path, words: list[str], complaint: str
) -> None:
    (tmp_path / "bench.toml").write_text(SUITE, encoding="utf-8")
    outcome = simbench("bench", *words)
    assert outcome.code == 2, outcome.err
    told = [line for line in outcome.err.splitlines() if complaint in line]
    assert len(told) == 1, outcome.err
    assert not all_runs(tmp_path / "runs")


def test_a_missing_package_is_told_before_anything_is_loaded(
    simbench: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    outcome = simbench("bench", "--executor", "ray")
    assert outcome.code == 2
    assert "pip install 'simbench-retrieval[ray]'" in outcome.err


@pytest.mark.parametrize("cluster", [False, True])
def test_a_plan_says_what_cells_will_hold_of_a_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, cluster: bool
) -> None:
    monkeypatch.setattr(devices, "card_bytes", lambda device: 80 << 30)
    cells = tuple(SuiteCell(fake_spec(), seed, Mock(), "digits", Settings()) for seed in (0, 1))
    known = Prediction(fixed=60.0, memory=1 << 30, source="runs", card=3 << 30)
    plan = Plan(Mock(), cells, (known, replace(known, card=0)), Limits(), ())
    place = Workplace(tmp_path, torch.device("cuda"), 1, no_progress, print)
    _say_plan(plan, place, 2, cluster=cluster)
    heads, _, *rows = capsys.readouterr().out.splitlines()
    assert heads.endswith("memory    on the card")
    assert [" ".join(row.split()[-4:]) for row in rows[:2]] == ["1.0 GB 3.0 GB", "s 1.0 GB ?"]
    assert ("the card has 80.0 GB" in rows[4]) is not cluster
    assert ("2 at a time; Ray runs as many as it has room for" in rows[3]) is cluster


def test_a_suite_is_predicted_fitted_to_a_budget_run_once_and_told(program: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "bench.toml").write_text(SUITE, encoding="utf-8")
    words = ("bench", "--threads", "1")
    listed = program(*words, "--dry-run")
    assert listed.code == 0, listed.err
    assert "skipped: ./not-here: no such file or folder" in listed.err
    assert "2 short trials to predict from" in listed.err
    rows = [line.split() for line in listed.out.splitlines() if line.startswith("digits")]
    assert [row[:3] for row in rows] == [["digits", "loo", method] for method in ("pixels", "triplet")]
    assert all("to run" in line and " s " in line and "MB" in line for line in listed.out.splitlines()[2:4]), listed.out
    assert not all_runs(tmp_path / "runs"), "a trial is no result"

    first = program(*words, "--budget", "3h")
    assert first.code == 0, first.err
    assert "budget 3h: the suite fits with its 0.1 epochs" in first.err
    assert "short trials" not in first.err, "they are made once"
    assert "| triplet" in first.out
    assert "skipped: ./not-here" in first.out
    runs = {run.result.method: run for run in all_runs(tmp_path / "runs")}
    assert {run.result.provenance.threads for run in runs.values()} == {1}
    assert runs["triplet"].result.provenance.command.endswith("bench --threads 1 --budget 3h")
    assert (tmp_path / "runs" / "report" / "leaderboard.md").is_file()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("run.json")}

    (plan,) = (tmp_path / "runs" / ".plans").glob("*.json")
    facts = {name: value for name, value in read_sealed(plan).items() if name != DIGEST}
    write_sealed(plan, {**facts, "epochs": 0.05})  # as if the machine had been found slower
    again = program(*words, "--budget", "3h", "-q", "--rank-by", "hit@1", "--columns", "hit@1,ms")
    assert again.code == 0, again.err
    assert {path: path.stat().st_mtime_ns for path in before} == before, "finished cells are kept"
    assert {run.result.spec.budget.epochs for run in all_runs(tmp_path / "runs")} == {0.1, 0.05}
    assert "epochs 0.05" in again.out
    assert "hit@1 ↑" in again.out
    assert "map ↑" not in again.out
    assert "Rows stand in the order of hit@1" in (tmp_path / "runs/report/leaderboard.md").read_text(encoding="utf-8")


def test_a_forked_cell_scores_as_a_run_of_its_own(program: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "bench.toml").write_text(SUITE.replace('"pixels", ', ""), encoding="utf-8")
    alone = "-m triplet --protocol loo --limit 120 --epochs 0.1 -o batch_size=16 -o encoder=simplecnn --threads 1"
    assert program("run", *alone.split(), "--runs", "alone", "-q").code == 0
    assert program("bench", "--threads", "1", "-q").code == 0
    (one,), (other,) = all_runs(tmp_path / "alone"), all_runs(tmp_path / "runs")
    assert one.result.key == other.result.key
    assert one.result.scores == other.result.scores
