"""``simbench choose`` as a user calls it: its words, its answer, and what a second start does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from programs import COMMAND, run_simbench

import bench.choose.rungs as rungs_module
from bench.runs.store import all_runs

pytestmark = pytest.mark.slow

QUICKLY = f"import bench.runs.costs; bench.runs.costs._PACE = 0.02; {COMMAND}"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["digits", "--budget", "soon"], "--budget: expected a duration"),
        (["digits", "--max-latency", "fast"], "expected a time such as 20ms, got 'fast'"),
        (["digits", "--max-latency", "0ms"], "expected a time such as 20ms, got '0ms'"),
        (["digits", "--max-bytes", "4"], "x>=8"),
        (["digits", "--new-classes", "--protocol", "loo"], "give --new-classes or --protocol, not both"),
        (["digist"], "did you mean 'digits'?"),
        (["./nowhere"], "nowhere"),
    ],
)
def test_a_mistake_in_the_words_is_told_in_one_line(
    simbench: Callable[..., Any], tmp_path: Path, words: list[str], complaint: str
) -> None:
    outcome = simbench("choose", *words)
    assert outcome.code in (1, 2), outcome.err
    assert [line for line in outcome.err.splitlines() if complaint in line], outcome.err
    assert "Traceback" not in outcome.err
    assert not all_runs(tmp_path / "runs")


def test_an_answer_with_its_page_and_a_second_start_that_runs_nothing_again(tmp_path: Path) -> None:
    words = ("choose", "digits", "--labels", "none", "--limit", "60", "--budget", "10m", "--threads", "1")
    first = run_simbench(words, tmp_path, code=QUICKLY)
    assert first.returncode == 0, first.stderr
    assert "digits: 10 classes, 60 pictures to learn from" in first.stderr
    said = {line[:17].strip(): line[17:] for line in first.stdout.splitlines()}
    assert said["Again"].startswith("simbench run -m p")
    assert said["Next"].startswith("simbench serve --run runs/digits/holdout/p")
    page = tmp_path / said["Page"]
    assert "Which method for digits?" in page.read_text(encoding="utf-8")
    made = {record.folder: record.result.provenance.date for record in all_runs(tmp_path / "runs")}
    second = run_simbench((*words, "--json", "-q"), tmp_path, code=QUICKLY)
    assert second.returncode == 0, second.stderr
    facts = json.loads(second.stdout)
    assert {record.folder: record.result.provenance.date for record in all_runs(tmp_path / "runs")} == made
    assert {"pixels", "pretrained"} <= {row["name"].split()[0] for row in facts["rows"]}
    assert facts["winner"]["runs"][0] in said["Next"]
    assert facts["left_out"] == []


def test_proxies_are_compared_on_the_runs_that_are_there(simbench: Callable[..., Any]) -> None:
    none = simbench("proxies")
    assert (none.code, none.err.count("\n")) == (2, 1), none.err
    assert simbench("run", "-m", "pixels", "-m", "random", "-d", "digits", "--limit", "60", "-q").code == 0
    few = simbench("proxies")
    assert few.code == 1
    assert "no table with three rows that kept their vectors" in few.err
    assert simbench("run", "-m", "pca", "-o", "embedding_dim=8", "-d", "digits", "--limit", "60", "-q").code == 0
    told = simbench("proxies")
    assert told.code == 0, told.err
    rows = [line.split("|")[1].strip() for line in told.out.splitlines() if line.startswith("| ")]
    assert {"two labels a class", "agreement", "effective rank", "chance"} <= set(rows)
    assert "1 table: digits · holdout" in told.out


def test_a_flat_folder_is_compared_by_copies_where_no_labels_are_asked_for(
    simbench: Callable[..., Any], pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flat = str(pictures / "dark")
    assert "compare methods by changed copies, without labels: --labels none" in simbench("choose", flat).err
    refused = simbench("choose", flat, "--labels", "none", "--max-bytes", "64")
    assert (refused.code, "--max-bytes: nothing that a folder without labels has" in refused.err) == (2, True)
    monkeypatch.setattr("bench.choose.rungs._FROZEN", rungs_module._EDGES)
    monkeypatch.setattr("bench.choose.rungs.find_spec", lambda name: None)
    monkeypatch.setattr("bench.choose.copies._SECONDS", 0.01)
    told = simbench("choose", flat, "--labels", "none", "--threads", "1")
    assert told.code == 0, told.err
    assert "| pixels" in told.out
    assert "Which method finds other pictures of the same kind" in told.out
    facts = json.loads((pictures.parent / "runs/report/choose/dark-copies/copies.json").read_text(encoding="utf-8"))
    assert facts["pictures"] == 20


def test_a_folder_that_has_changed_is_chosen_for_anew_only_where_it_may_matter(pictures: Path, tmp_path: Path) -> None:
    few = "import bench.choose.rungs as r; r.find_spec = lambda name: None; "
    few += "r._FROZEN = r.Rung('few components', 'pca', {'embedding_dim': 8}, learns=False); "
    words = ("choose", "pictures", "--labels", "none", "--threads", "1", "--protocol", "loo")
    first = run_simbench(words, tmp_path, code=few + QUICKLY)
    assert first.returncode == 0, first.stderr
    before = {record.folder for record in all_runs(tmp_path / "runs")}
    same = run_simbench((*words, "--update"), tmp_path, code=few + QUICKLY)
    assert same.stdout.startswith("Nothing has changed since, and nothing was run; the answer stands")
    assert {record.folder for record in all_runs(tmp_path / "runs")} == before
    (pictures / "dark" / "0.png").unlink()
    (pictures / "dark" / "1.png").rename(pictures / "light" / "new.png")
    second = run_simbench((*words, "--update"), tmp_path, code=few + QUICKLY)
    assert second.returncode == 0, second.stderr
    told = " ".join(second.stdout.split())
    assert "38 pictures kept, 1 new (light/new.png), 0 changed, 2 gone (dark/0.png, dark/1.png)" in told
    assert "The answer " in told
    made = {record.folder for record in all_runs(tmp_path / "runs")} - before
    assert 1 <= len(made) <= len(before)
