"""The leaderboard's files agree with each other, hide no failure, and are the same from a moved tree of runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from numpy.typing import NDArray

from bench.report.tables.export import rounded
from bench.report.write import board_of, write_board, write_latex

WriteRun = Callable[..., Path]
Ways = dict[str, NDArray[Any]]
FILES = {"answers.md", "leaderboard.md", "leaderboard.csv", "leaderboard.json", "runs.csv"}


@pytest.fixture
def runs(tmp_path: Path, write_run: WriteRun, ways: Ways) -> Path:
    """Two data sets, two seeds of one method, and failures with and without a finished sibling."""
    root = tmp_path / "runs"
    for dataset in ("digits", "more"):
        for seed in (0, 1):
            write_run(root, "pca", ways["centred"], seed=seed, dataset=dataset, options={"embedding_dim": 64})
        write_run(root, "random", ways["three"], dataset=dataset, options={"embedding_dim": 3})
    write_run(root, "random", None, options={"embedding_dim": 4096}, reason="out of memory: 3 GB\nTraceback ...")
    write_run(root, "lda", None, options={"embedding_dim": 64}, budget={"epochs": 5.0}, reason="singular", seed=7)
    return root


def content_of(results: Path) -> Any:
    return json.loads((results / "leaderboard.json").read_text(encoding="utf-8"))


def test_a_failed_run_stands_everywhere_with_its_reason_and_its_options(runs: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    write_board(board_of(runs), results)
    text = (results / "leaderboard.md").read_text(encoding="utf-8")
    assert "- `random` seed 0: failed: out of memory: 3 GB (with embedding_dim=4096)\n" in text
    assert "- `lda` seed 7: failed: singular (with epochs=5)\n" in text
    failed = {run["name"]: run for run in content_of(results)["tables"][0]["failed"]}
    assert failed["random (embedding_dim=4096)"]["options"] == {"embedding_dim": 4096}
    assert failed["random (embedding_dim=4096)"]["reason"] == "out of memory: 3 GB\nTraceback ..."
    assert failed["lda (epochs=5)"]["budget"]["epochs"] == 5.0
    frame = pd.read_csv(results / "leaderboard.csv")
    lost = frame[frame["status"] == "failed"].set_index("name")
    assert str(lost.loc["random (embedding_dim=4096)", "reason"]).startswith("out of memory")
    assert json.loads(str(lost.loc["random (embedding_dim=4096)", "options"])) == {"embedding_dim": 4096}


def test_a_failed_method_is_named_by_its_unusual_option(
    tmp_path: Path, write_run: WriteRun, ways: Ways
) -> None:
    for method in ("triplet", "supcon"):
        write_run(tmp_path / "runs", method, ways["raw"], options={"batch_size": 128})
    write_run(tmp_path / "runs", "arcface", None, options={"batch_size": 9999, "margin": 0.5}, reason="out of memory")
    write_board(board_of(tmp_path / "runs"), tmp_path / "results")
    text = (tmp_path / "results" / "leaderboard.md").read_text(encoding="utf-8")
    assert "- `arcface` seed 0: failed: out of memory (with batch_size=9999)\n" in text


def test_the_json_holds_the_values_intervals_and_ties_of_the_table_of_runs(runs: Path, tmp_path: Path) -> None:
    board = board_of(runs)
    frame = board.frame
    write_board(board, tmp_path / "results")
    table = content_of(tmp_path / "results")["tables"][0]
    assert [row["method"] for row in table["rows"]] == ["pca", "random"]
    pca = table["rows"][0]
    mine = frame[(frame["dataset"] == "digits") & (frame["method"] == "pca")]
    assert pca["seeds"] == [0, 1]
    assert pca["values"]["map"] == pytest.approx(mine["map"].mean(), rel=1e-8)
    ends = [mine[f"map_seeds_ci95_{end}"].iloc[0] for end in ("low", "high")]
    assert pca["ci95"]["map"] == pytest.approx(ends, rel=1e-8)
    assert [row["tied_with_best"] for row in table["rows"]] == [rank == 1 for rank in (1, table["rows"][1]["rank"])]
    flat = pd.read_csv(tmp_path / "results" / "leaderboard.csv")
    assert flat.loc[flat["name"] == "pca", "map"].iloc[0] == pca["values"]["map"]
    assert len(flat) == 6


def test_the_json_holds_the_overall_table(runs: Path, tmp_path: Path) -> None:
    board = board_of(runs)
    write_board(board, tmp_path / "results")
    overall = content_of(tmp_path / "results")["overall"]
    assert overall["datasets"] == ["digits", "more"]
    assert (
        [one["method"] for one in overall["ranked"]]
        == [one.method for one in board.overall.ranked]
        == ["pca", "random"]
    )
    assert overall["critical"] == pytest.approx(board.overall.critical)


def test_a_moved_tree_of_runs_gives_the_same_files(runs: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(runs, tmp_path / "elsewhere" / "deep" / "runs"))
    made = []
    for root, results in ((runs, tmp_path / "a"), (moved, tmp_path / "b")):
        write_board(board_of(root), results)
        write_latex(board_of(root), results)
        made.append({str(p.relative_to(results)): p.read_bytes() for p in results.rglob("*") if p.is_file()})
    assert made[0] == made[1]
    assert set(made[0]) == FILES | {"leaderboard.tex", "figures/critical-difference.svg"}


def test_a_diagram_goes_when_there_is_nothing_to_compare_any_more(runs: Path, tmp_path: Path) -> None:
    diagram = tmp_path / "results" / "figures" / "critical-difference.svg"
    write_board(board_of(runs), tmp_path / "results")
    assert diagram.is_file()
    shutil.rmtree(runs / "more")
    write_board(board_of(runs), tmp_path / "results")
    assert not diagram.exists()


def test_numbers_are_cut_to_nine_digits_wherever_they_stand() -> None:
    assert rounded({"a": [0.1234567891234, (1e-20 / 3,)], "b": "x", "c": 7}) == {
        "a": [0.123456789, [3.33333333e-21]],
        "b": "x",
        "c": 7,
    }
