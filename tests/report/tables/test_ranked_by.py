"""Every table, page and file follows the metric that rows are ranked by, and shows only declared numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from fake_runs import change_run, measured_in, record_in
from numpy.typing import NDArray

from bench.cli import cli
from bench.contract import UsageError
from bench.evaluation.metrics.registry import describe
from bench.evaluation.statistics.paired_tests import compare_with_best
from bench.report.aggregate.overall import overall_of
from bench.report.html.leaderboard import board, finding_of
from bench.report.latex import latex
from bench.report.recommend.answers import answers_of
from bench.report.tables.export import as_json
from bench.report.tables.frame import runs_frame, shown_columns
from bench.report.tables.groups import tables_of
from bench.report.tables.leaderboard import tables, titled
from bench.report.write import board_of, write_board
from bench.runs.artifacts import read_arrays
from bench.runs.store import all_runs
from bench.serve.pages import read_board

WriteRun = Callable[..., Path]
Ways = dict[str, NDArray[Any]]


@pytest.fixture
def runs(tmp_path: Path, write_run: WriteRun, ways: Ways) -> Path:
    """Runs of four methods on each of two data sets."""
    for dataset in ("digits", "more"):
        for method, vectors in ways.items():
            write_run(tmp_path / "runs", method, vectors, dataset=dataset)
    return tmp_path / "runs"


def order_of(text: str) -> list[str]:
    """Return the methods of the first Markdown table, as they stand."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    end = next((at for at, line in enumerate(lines[2:], start=2) if "method" in line), len(lines))
    return [line.split("|")[2].strip() for line in lines[2:end]]


@pytest.mark.parametrize("metric", ["map", "hit@1", "mean_rank_norm", "first_rank", "knn_accuracy@10"])
def test_rows_of_every_table_follow_the_metric_in_its_direction(runs: Path, metric: str, tmp_path: Path) -> None:
    records = all_runs(runs)
    frame = runs_frame(records, metric)
    first = frame[frame["dataset"] == "digits"].set_index("method")
    best_first = first[metric].sort_values(ascending=describe(metric).better == "lower").index.to_list()
    assert order_of(tables(frame)) == best_first
    table = tables_of(records, frame)[0]
    assert sorted((row.name for row in table.rows), key=best_first.index) == best_first
    assert finding_of(table).best is not None
    assert finding_of(table).best.name == best_first[0]  # type: ignore[union-attr]
    assert answers_of(table).answers[0].winner.name == best_first[0]  # type: ignore[union-attr]
    assert [row["method"] for row in as_json(frame, {})["tables"][0]["rows"]] == best_first
    write_board(board_of(runs, metric), tmp_path / "results")
    shown = read_board(tmp_path / "results", ("digits", "loo", "digits-loo-data"))
    assert shown is not None
    assert metric in {column["source"] for column in shown["columns"]}
    assert shown["rows"][0]["method"] == best_first[0]


def test_ranks_are_of_the_paired_test_on_that_metric(runs: Path) -> None:
    records = all_runs(runs)
    frame = runs_frame(records, "hit@1")
    mine = frame[frame["dataset"] == "digits"].set_index("method")
    folders = {record.result.method: record.folder for record in records if record.result.dataset == "digits"}
    ordered = mine["hit@1"].sort_values(ascending=False).index.to_list()
    best, *others = ordered
    measured = {method: measured_in([folder], "hit@1") for method, folder in folders.items()}
    found = compare_with_best(measured[best], [measured[method] for method in others])
    assert mine["p_from_best"][others].to_list() == pytest.approx([one.p_corrected for one in found])
    assert mine["detectable_from_best"][others].to_list() == pytest.approx([one.detectable for one in found])
    places = enumerate(zip(others, found, strict=True), start=2)
    expected = {method: place if one.separable else 1 for place, (method, one) in places}
    assert mine["rank"].to_dict() == {best: 1, **expected}
    assert "best by hit@1 at 5 %" in tables(frame)


def test_the_overall_table_counts_the_metric_between_chance_and_perfect(runs: Path) -> None:
    records = all_runs(runs)
    for metric in ("hit@1", "mean_rank_norm"):
        found = overall_of(tables_of(records, runs_frame(records, metric)))
        assert found.metric == metric
        assert found.comparable
        assert all(0 < score < 1 for one in found.ranked for score in one.scores)
    without = overall_of(tables_of(records, runs_frame(records, "map_optimistic")))
    assert "chance level is not known" in without.left_out[0]


def test_a_depth_that_no_run_has_is_refused_with_how_to_ask_for_it(runs: Path) -> None:
    with pytest.raises(UsageError, match=r"no run has hit@7; `-k 7` asks a run for it"):
        runs_frame(all_runs(runs), "hit@7")


def test_every_column_of_every_table_is_declared(runs: Path, tmp_path: Path) -> None:
    records = all_runs(runs)
    frame = runs_frame(records)
    table = tables_of(records, frame)[0]
    shown = shown_columns(frame)
    for name in [*(column.name for column in board(table)[0]), *as_json(frame, {})["tables"][0]["rows"][0]["values"]]:
        assert describe(name).name == name
    head = next(line for line in tables(frame).splitlines() if line.startswith("|"))
    heads = [cell.strip() for cell in head.strip("|").split("|")]
    assert heads == ["#", "method", *map(titled, shown), "input", "seeds", "notes"]
    for name in {str(name).split("_ci95")[0] for name in frame if "_ci95" in str(name)}:
        assert describe(name.removesuffix("_seeds").removesuffix("_other_classes"))
    write_board(board_of(runs), tmp_path / "results")
    for column in read_board(tmp_path / "results", ("digits", "loo", "digits-loo-data"))["columns"]:  # type: ignore[index]
        assert describe(column["source"]).heading == column["heading"]


def test_columns_are_chosen_in_the_terminal_in_markdown_and_in_latex(runs: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    words = ["leaderboard", "--runs", str(runs), "--report-dir", str(results), "--latex", "--columns", "hit@1,map,dim"]
    found = CliRunner().invoke(cli, words, catch_exceptions=False)
    for text in (found.output, (results / "leaderboard.md").read_text(encoding="utf-8")):
        lines = [line for line in text.splitlines() if line.startswith("|") and "seeds" in line]
        assert [cell.strip() for cell in lines[0].strip("|").split("|")][2:5] == ["hit@1 ↑", "map ↑", "dim ↓"]
    assert r"\# & method & hit@1 $\uparrow$ & map $\uparrow$ & dim $\downarrow$ & input & seeds" in latex_of(results)


def latex_of(results: Path) -> str:
    return (results / "leaderboard.tex").read_text(encoding="utf-8")


def test_the_first_in_latex_is_the_best_by_the_metric_asked_for_in_bold(runs: Path) -> None:
    records = all_runs(runs)
    frame = runs_frame(records, "mean_rank_norm")
    best = frame[frame["dataset"] == "digits"].set_index("method")["mean_rank_norm"].idxmin()
    text = latex(frame, overall_of(tables_of(records, frame)))
    firsts = [line for line in text.splitlines() if line.startswith(f"1 & {best} & ")]
    score = frame[frame["method"] == best]["mean_rank_norm"].iloc[0]
    assert any(rf"\textbf{{{score:.3f}}}" in line for line in firsts)


@pytest.mark.parametrize(
    "words",
    [
        ("leaderboard", "--rank-by", "hits@1"),
        ("leaderboard", "--columns", "map,hits@1"),
        ("report", "--rank-by", "hits@1"),
        ("run", "--rank-by", "hits@1"),
        ("run", "--columns", "map,hits@1"),
    ],
)
def test_an_unknown_metric_is_a_usage_error_with_the_likeliest_name(words: tuple[str, ...]) -> None:
    found = CliRunner().invoke(cli, words)
    assert isinstance(found.exception, UsageError)
    assert found.exception.exit_code == 2
    assert str(found.exception) == "unknown metric 'hits@1'; did you mean 'hit@1'?"


def test_a_depth_that_a_run_will_not_have_is_refused_before_it_trains(tmp_path: Path) -> None:
    found = CliRunner().invoke(cli, ["run", "-m", "pixels", "--rank-by", "hit@7", "--runs", str(tmp_path)])
    assert str(found.exception) == "--rank-by hit@7 needs the depth 7: add -k 1 -k 7 -k 10 -k 50"
    assert list(tmp_path.iterdir()) == []


def test_depths_asked_for_are_columns_of_the_table(tmp_path: Path, write_run: WriteRun, ways: Ways) -> None:
    folder = write_run(tmp_path, "raw", ways["raw"])
    record = record_in(folder)
    hits = read_arrays(record, "per_query.npz", "hit@1")["hit@1"]
    change_run(folder, scores={**record.result.scores, "hit@3": float(np.mean(hits)), "map@3": 0.5})
    text = tables(runs_frame(all_runs(tmp_path)))
    assert "map@3 ↑" in text
    assert "hit@3 ↑" in text
    assert "hit@10" not in text
