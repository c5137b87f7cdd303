"""What got better or worse since another tree of results or a commit: by query where both can, else by values."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_runs import measured_in
from numpy.typing import NDArray

import bench.cli
from bench.contract import DataError, UsageError
from bench.evaluation.statistics.paired_tests import compare
from bench.report.compare.regressions import BY_VALUES, PAIRED, Against, against_text, compare_trees
from bench.report.compare.result_sets import open_tree
from bench.report.write import board_of, write_board

WriteRun = Callable[..., Path]
Ways = dict[str, NDArray[Any]]


@pytest.fixture
def trees(tmp_path: Path, write_run: WriteRun, ways: Ways) -> tuple[Path, Path]:
    """Old and new: one better, one worse, one as it was, one on each side only, one that fails now."""
    old, new = tmp_path / "old", tmp_path / "new"
    for method, before, after in (("up", "ten", "centred"), ("down", "raw", "three"), ("same", "raw", "raw")):
        write_run(old, method, ways[before])
        write_run(new, method, ways[after])
    write_run(old, "gone", ways["raw"])
    write_run(new, "come", ways["raw"])
    write_run(old, "broken", ways["raw"])
    write_run(new, "broken", None, reason="out of memory\nTraceback")
    return old, new


def compared(old: Path | str, new: Path | str, metric: str = "map") -> Against:
    return compare_trees(open_tree(str(old)), open_tree(str(new)), metric)


def verdicts(found: Against) -> dict[str, str]:
    return {one.cell.method: one.verdict for one in found.changes}


def folder_of(root: Path, method: str) -> Path:
    (path,) = (root / "digits" / "loo" / method).rglob("run.json")
    return path.parent


def values(root: Path, method: str, metric: str = "map") -> NDArray[Any]:
    return np.asarray(np.load(folder_of(root, method) / "per_query.npz")[metric])


def test_cells_are_compared_query_by_query_where_both_are_run_folders(trees: tuple[Path, Path]) -> None:
    found = compared(*trees)
    assert verdicts(found) == {"up": "better", "down": "worse", "same": "same"}
    up = next(one for one in found.changes if one.cell.method == "up")
    old, new = (values(root, "up") for root in trees)
    before, after = (measured_in([folder_of(root, "up")], "map") for root in trees)
    (expected,) = compare(before, [after])
    assert up.how == PAIRED
    assert up.difference == pytest.approx(expected.difference)
    assert (up.low, up.high, up.p) == pytest.approx((expected.low, expected.high, expected.p))
    assert (up.queries_better, up.queries_worse) == (int((new > old).sum()), int((new < old).sum()))
    largest = up.changed[0]
    assert abs(largest.value - largest.reference) == pytest.approx(np.abs(new - old).max())


def test_holm_corrects_for_all_cells_that_were_tested(trees: tuple[Path, Path]) -> None:
    found = compared(*trees)
    ordered = sorted((one.p or 0.0, one.p_holm or 0.0) for one in found.changes)
    assert ordered[0][1] == pytest.approx(min(1.0, 3 * ordered[0][0]))
    assert all(holm >= p for p, holm in ordered)


def test_what_is_as_it_was_has_no_changed_query(trees: tuple[Path, Path]) -> None:
    same = next(one for one in compared(*trees).changes if one.cell.method == "same")
    assert (same.difference, same.queries_better, same.queries_worse, same.changed) == (0.0, 0, 0, ())


def test_where_less_is_better_less_is_called_better(trees: tuple[Path, Path]) -> None:
    found = compared(*trees, "mean_rank")
    assert verdicts(found) == {"up": "better", "down": "worse", "same": "same"}
    up = next(one for one in found.changes if one.cell.method == "up")
    old, new = (values(root, "up", "mean_rank") for root in trees)
    assert up.difference < 0
    assert up.queries_better == int((new < old).sum())


def test_cells_on_one_side_and_failures_are_listed(trees: tuple[Path, Path]) -> None:
    found = {(one.cell.method, one.side): one.why for one in compared(*trees).lone}
    assert found == {
        ("gone", "old"): "only in the old results",
        ("come", "new"): "only in the new results",
        ("broken", "new"): "failed in the new results: out of memory",
    }


def test_a_published_table_is_compared_by_its_values_and_says_so(trees: tuple[Path, Path], tmp_path: Path) -> None:
    write_board(board_of(trees[0]), tmp_path / "published")
    found = compared(tmp_path / "published", trees[1])
    assert {one.how for one in found.changes} == {BY_VALUES}
    for one in found.changes:
        assert one.old_ci95 is not None
        assert one.new_ci95 is not None
        apart = one.old_ci95[1] < one.new_ci95[0] or one.new_ci95[1] < one.old_ci95[0]
        assert (one.verdict != "same") == apart
    assert verdicts(found)["down"] == "worse"
    text = against_text(found)
    assert "3 cells are compared by table values alone" in text
    assert "the old results are a table without values for every query" in text


def test_a_setting_whose_options_have_changed_is_compared_and_the_change_told(
    tmp_path: Path, write_run: WriteRun, ways: Ways
) -> None:
    write_run(tmp_path / "old", "pca", ways["ten"], options={"embedding_dim": 10})
    write_run(tmp_path / "new", "pca", ways["centred"], options={"embedding_dim": 64, "whiten": False})
    found = compared(tmp_path / "old", tmp_path / "new")
    assert found.changes[0].otherwise == ("embedding_dim 10 -> 64", "whiten unset -> False")
    assert found.lone == ()
    assert "Options have changed: embedding_dim 10 -> 64" in against_text(found)


def test_several_settings_of_a_method_are_not_matched_by_guess(tmp_path: Path, write_run: WriteRun, ways: Ways) -> None:
    for dim in (10, 20):
        write_run(tmp_path / "old", "pca", ways["ten"], options={"embedding_dim": dim})
    write_run(tmp_path / "new", "pca", ways["centred"], options={"embedding_dim": 64})
    found = compared(tmp_path / "old", tmp_path / "new")
    assert found.changes == ()
    text = against_text(found)
    assert "- digits · loo · pca [embedding_dim=10]: only in the old results" in text
    assert "- digits · loo · pca [embedding_dim=64]: only in the new results" in text


def test_settings_that_differ_in_how_they_were_scored_are_all_told(
    tmp_path: Path, write_run: WriteRun, ways: Ways
) -> None:
    for ties in ("pessimistic", "mean"):
        write_run(tmp_path / "old", "pca", ways["ten"], choices={"ties": ties})
    assert len(open_tree(str(tmp_path / "old")).cells) == 2
    found = compared(tmp_path / "old", tmp_path / "old")
    assert [one.verdict for one in found.changes] == ["same", "same"]
    assert against_text(found).count("pca (key ") == 2


def test_other_data_is_never_compared(tmp_path: Path, write_run: WriteRun, ways: Ways) -> None:
    write_run(tmp_path / "old", "pca", ways["ten"], revision="a" * 64)
    write_run(tmp_path / "new", "pca", ways["ten"], revision="b" * 64)
    assert compared(tmp_path / "old", tmp_path / "new").changes == ()


def test_other_seeds_are_said(tmp_path: Path, write_run: WriteRun, ways: Ways) -> None:
    write_run(tmp_path / "old", "pca", ways["ten"])
    for seed in (0, 1):
        write_run(tmp_path / "new", "pca", ways["centred"], seed=seed)
    found = compared(tmp_path / "old", tmp_path / "new")
    assert (found.changes[0].old_seeds, found.changes[0].new_seeds) == ((0,), (0, 1))
    assert "where seeds differ, means over other seeds are compared" in found.notes


def test_a_run_without_values_for_every_query_is_compared_by_its_mean(trees: tuple[Path, Path]) -> None:
    (folder_of(trees[0], "up") / "per_query.npz").unlink()
    up = next(one for one in compared(*trees).changes if one.cell.method == "up")
    assert up.how == BY_VALUES
    assert "cannot read" in up.note


def test_what_is_no_contest_is_refused(trees: tuple[Path, Path]) -> None:
    with pytest.raises(UsageError, match="no contest"):
        compared(*trees, "tied_queries")


def git(folder: Path, *words: str) -> None:
    settings = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *settings, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(trees: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with two commits: nothing published, then the old results; `runs` holds the new ones."""
    top = tmp_path / "repository"
    top.mkdir()
    git(top, "init", "-q")
    git(top, "commit", "-q", "--allow-empty", "-m", "Nothing yet")
    write_board(board_of(trees[0]), top / "results" / "standard")
    git(top, "add", "results")
    git(top, "commit", "-q", "-m", "Results")
    shutil.copytree(trees[1], top / "runs")
    monkeypatch.chdir(top)
    return top


@pytest.mark.usefixtures("repository")
def test_a_commit_gives_the_table_that_was_published_there(trees: tuple[Path, Path]) -> None:
    found = compared("HEAD", trees[1])
    assert found.old == "commit HEAD"
    assert set(verdicts(found)) == {"up", "down", "same"}


@pytest.mark.usefixtures("repository")
def test_what_is_no_commit_or_has_no_results_is_an_error_of_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nosuch is no folder and no commit of"):
        open_tree("nosuch")
    with pytest.raises(UsageError, match="no folder and no commit"):
        open_tree("--output=stolen")
    with pytest.raises(DataError, match=r"commit HEAD~1 has no results/standard/runs\.csv"):
        open_tree("HEAD~1")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"holds no runs and no runs\.csv"):
        open_tree(str(tmp_path / "empty"))
    (tmp_path / "odd.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(DataError, match="no table of runs"):
        open_tree(str(tmp_path / "odd.csv"))


def test_outside_a_repository_a_commit_cannot_be_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(UsageError, match="in no git repository"):
        open_tree("HEAD")


def simbench(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["simbench", *words])
    with pytest.raises(SystemExit) as ended:
        bench.cli.main()
    return int(ended.value.code or 0)


@pytest.mark.usefixtures("repository")
def test_the_command_tells_it_as_text_and_as_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], trees: tuple[Path, Path]
) -> None:
    assert simbench(monkeypatch, "compare", "--against", str(trees[0])) == 0
    text = capsys.readouterr().out
    assert "3 cells in both: 1 worse, 1 better, 1 same." in text
    assert text.index("### digits · loo · down: worse") < text.index("### digits · loo · up: better")
    assert simbench(monkeypatch, "compare", "--against", "HEAD", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert {one["cell"]["method"] for one in found["changes"]} == {"up", "down", "same"}


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--against", "HEAD", "up", "down"], "--against compares all runs"),
        (["--against", "runs"], "both the old and the new results"),
        (["--against", "HEAD", "--runs", "nowhere"], "no runs in nowhere"),
    ],
)
def test_the_command_refuses_what_makes_no_sense(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert simbench(monkeypatch, "compare", *words) == 2
    assert said in capsys.readouterr().err
