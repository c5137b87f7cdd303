"""One row over draws of the unseen classes: who is in it, its mean, interval, words, and what stays apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_runs import DATA, fake_result, fake_spec, write_beside, write_fake

from bench.evaluation.statistics.estimates import over_draws
from bench.report.aggregate.overall import overall_of
from bench.report.aggregate.row_selection import chance_and_perfect
from bench.report.html.leaderboard import board
from bench.report.latex import latex
from bench.report.tables.export import as_json, as_rows
from bench.report.tables.frame import runs_frame
from bench.report.tables.groups import tables_of
from bench.report.tables.leaderboard import tables
from bench.runs.store import RunRecord, all_runs

NEW = replace(DATA, seen_classes=False, collection_digest="c" * 64)
SCORES = {"hog": (0.5, 0.6, 0.7), "pixels": (0.7, 0.81, 0.9)}


def drawn_runs(root: Path, data: object = NEW) -> list[RunRecord]:
    """Three draws with two seeds each of two methods, the second seed .02 better."""
    for method, scores in SCORES.items():
        for draw, score in enumerate(scores):
            chosen = {"split_seed": draw} if draw else {}
            spec = fake_spec(protocol="unseen", method=method, fingerprint=f"{draw}" * 64, data=chosen)
            for seed in (0, 1):
                write_fake(root, fake_result(spec, seed=seed, data=data, scores={"map": score + 0.02 * seed}))
    return all_runs(root)


def test_draws_of_the_unseen_classes_make_one_row_with_the_mean_and_interval_over_draws(tmp_path: Path) -> None:
    frame = runs_frame(drawn_runs(tmp_path))
    (table,) = as_json(frame, {})["tables"]
    best, other = table["rows"]
    assert (table["title"], best["method"], best["runs"]) == (
        "digits · unseen · 3 draws",
        "pixels",
        "3 draws x 2 seeds",
    )
    assert best["values"]["map"] == pytest.approx(np.mean(SCORES["pixels"]) + 0.01)
    drawn = over_draws(np.array(SCORES["pixels"]) + 0.01)
    assert best["ci95"]["map"] == pytest.approx((drawn.low, drawn.high))
    assert other["by_draw"]["map"] == pytest.approx({"0": 0.51, "1": 0.61, "2": 0.71})
    assert (best["rank"], other["rank"]) == (1, 2)  # apart in each draw by much the same
    assert table["draw_revisions"] == ["0" * 64, "1" * 64, "2" * 64]
    assert "over 3 draws of the classes to test on" in table["rank_note"]


def test_rows_over_draws_are_in_csv_markdown_latex_and_page(tmp_path: Path) -> None:
    runs = drawn_runs(tmp_path)
    frame = runs_frame(runs)
    found = tables_of(runs, frame)
    assert [line["draws"] for line in as_rows(as_json(frame, {}))] == ["0 1 2"] * 2
    assert "3 draws x 2 seeds" in tables(frame)
    assert "3 draws x 2 seeds" in latex(frame, overall_of(found))
    (table,) = found
    assert [line.seeds for line in board(table)[1]] == ["3 draws x 2 seeds"] * 2
    assert [(run.result.draw, run.result.seed) for run in table.rows[0].records][:3] == [(0, 0), (0, 1), (1, 0)]


def test_seeds_count_within_their_draw_only(tmp_path: Path) -> None:
    runs = [run for run in drawn_runs(tmp_path) if not (run.result.draw and run.result.seed)]
    best = as_json(runs_frame(runs), {})["tables"][0]["rows"][0]
    assert best["runs"] == "3 draws, 4 runs"
    assert best["values"]["map"] == pytest.approx((0.71 + 0.81 + 0.9) / 3)


def test_draws_of_seen_classes_and_of_unknown_collections_stay_tables_of_their_own(tmp_path: Path) -> None:
    for name, data in (("seen", replace(NEW, seen_classes=True)), ("unknown", replace(NEW, collection_digest=""))):
        runs = drawn_runs(tmp_path / name, data)
        assert len(as_json(runs_frame(runs), {})["tables"]) == 3


def test_one_draw_is_a_table_as_before(tmp_path: Path) -> None:
    runs = [run for run in drawn_runs(tmp_path) if run.result.draw == 0]
    (table,) = as_json(runs_frame(runs), {})["tables"]
    assert (table["title"], table["dataset_revision"]) == ("digits · unseen", "0" * 64)


def test_the_chance_level_of_a_row_over_draws_is_the_mean_over_the_draws(tmp_path: Path) -> None:
    runs = drawn_runs(tmp_path)
    for record in runs:
        classes = 2 + int(record.result.draw)  # each draw with another number of classes: another chance level
        labels = np.arange(24) % classes
        ids = np.array([f"q{at}" for at in range(24)])
        arrays = {"ids": ids, "labels": labels, "gallery_ids": ids, "gallery_labels": labels}
        arrays |= {"relevant": np.bincount(labels)[labels] - 1, "items": np.full(24, 23)}
        write_beside(record.folder, "per_query.npz", arrays)
    runs = all_runs(tmp_path)
    (table,) = tables_of(runs, runs_frame(runs))
    own = [
        tables_of([run], runs_frame([run]))[0] for run in runs if run.result.seed == 0 and run.result.method == "hog"
    ]
    ends = [found for one in own if (found := chance_and_perfect(one)) is not None]
    assert len({chance for chance, _ in ends}) == 3
    assert chance_and_perfect(table) == pytest.approx(tuple(np.mean(ends, axis=0)))
