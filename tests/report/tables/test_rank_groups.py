"""Ranks: who cannot be told apart from the best shares its rank, and tables stay a function of the frame."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from bench.evaluation.ranking.arrays import Floats
from bench.evaluation.statistics.bootstrap import ci95
from bench.evaluation.statistics.paired_tests import holm, sign_flip_test
from bench.files import write_arrays, write_json
from bench.report.tables.frame import runs_frame
from bench.report.tables.leaderboard import table, tables
from bench.runs.store import SCHEMA, all_runs

QUERIES, CLASSES = 120, 12
LABELS = np.arange(QUERIES) % CLASSES
RNG = np.random.default_rng(0)
HARD = RNG.uniform(0.2, 0.7, QUERIES)


def run(root: Path, method: str, values: Floats | None, *, seed: int = 0, ids: Sequence[str] | None = None) -> Path:
    """Write a finished run with these average precisions, or without per-query values and a map of 0.5."""
    score = 0.5 if values is None else float(values.mean())
    made_by = {"device": "cpu", "threads": 1, "cpu": "A CPU", "gpu": None, "ram_gib": 8.0, "packages": {"torch": "2.9"}}
    content = {
        "schema": SCHEMA,
        "status": "done",
        "dataset": "digits",
        "protocol": "loo",
        "method": method,
        "seed": seed,
        "key": "0123456789",
        "spec": {"fingerprint": "f" * 64, "options": {}, "budget": {}},
        "scores": {"map": score},
        "ci95": {"map": [0.1, 0.9]},
        "seconds": 1.0,
        "provenance": {**made_by, "simbench": "0", "commit": "a", "dirty": False, "date": "2026-01-02", "command": "x"},
    }
    folder = root / "digits" / "loo" / method / "0123456789" / f"seed{seed}"
    write_json(folder / "run.json", content)
    if values is not None:
        names = np.array(ids or [f"q{i}" for i in range(QUERIES)])
        classes = np.array([f"c{i}" for i in range(CLASSES)])
        write_arrays(folder / "per_query.npz", {"ids": names, "labels": LABELS, "classes": classes, "map": values})
    return folder


def near(distance: float, spread: float = 0.05) -> Floats:
    return HARD - distance + spread * RNG.standard_normal(QUERIES)


def test_methods_not_different_from_the_best_share_rank_1(
    tmp_path: Path,
) -> None:
    values = {"best": HARD, "like": near(0.005), "worse": near(0.1), "worst": near(0.15)}
    for method, found in values.items():
        run(tmp_path, method, found)
    frame = runs_frame(all_runs(tmp_path)).set_index("method")
    assert frame["rank"].to_dict() == {"best": 1, "like": 1, "worse": 3, "worst": 4}
    sums = np.column_stack([np.bincount(LABELS, values[name] - HARD) for name in ("like", "worse", "worst")])
    expected = holm(sign_flip_test(sums.astype(np.float64)))
    assert frame["p_holm_from_best"][["like", "worse", "worst"]].to_list() == pytest.approx(expected.tolist())
    assert np.isnan(frame["p_holm_from_best"]["best"])
    lines = [line.split("|")[1:3] for line in tables(frame.reset_index()).splitlines() if line.startswith("|")][2:]
    assert [[cell.strip() for cell in line] for line in lines] == [
        ["1", "best"],
        ["1", "like"],
        ["3", "worse"],
        ["4", "worst"],
    ]


def test_the_footnote_says_what_the_ranks_rest_on_and_what_could_be_seen(tmp_path: Path) -> None:
    run(tmp_path, "best", HARD)
    run(tmp_path, "other", near(0.1))
    frame = runs_frame(all_runs(tmp_path))
    assert "(paired permutation test on 12 classes, Holm)" in tables(frame)
    assert f"with 80 % power is {frame['detectable_from_best'].max():.3f}." in tables(frame)


def test_a_table_with_more_rows_than_its_queries_can_tell_apart_says_so(tmp_path: Path) -> None:
    """With 12 classes no p is below 2 / 4,096, and 103 of them are above 5 %."""
    for number in range(104):
        run(tmp_path, f"m{number:03}", HARD - 0.001 * number)
    frame = runs_frame(all_runs(tmp_path))
    assert set(frame["rank"]) == {1}
    assert "12 classes are too few to tell any of 104 rows apart at 5 %" in tables(frame)


def test_intervals_of_one_seed_and_of_several(tmp_path: Path) -> None:
    run(tmp_path, "single", HARD - 0.2)
    for seed, shift in enumerate((-0.1, 0.0, 0.1)):
        run(tmp_path, "several", HARD + shift, seed=seed)
    frame = runs_frame(all_runs(tmp_path))
    single, several = frame[frame["method"] == "single"].iloc[0], frame[frame["method"] == "several"].iloc[0]
    expected = ci95({"map": HARD - 0.2}, LABELS)["map"]
    assert (single["map_seeds_ci95_low"], single["map_seeds_ci95_high"]) == pytest.approx(expected, abs=1e-12)
    width = several["map_seeds_ci95_high"] - several["map_seeds_ci95_low"]
    assert width > 2 * (expected[1] - expected[0])
    assert f"{HARD.mean():.3f} ± {width / 2:.3f} (0.100 sd)" in tables(frame)


def test_a_run_that_cannot_be_compared_keeps_its_place(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run(tmp_path, "best", HARD + 0.2)
    run(tmp_path, "silent", None)
    run(tmp_path, "other", HARD, ids=[f"x{i}" for i in range(QUERIES)])
    (run(tmp_path, "broken", HARD - 0.1) / "per_query.npz").write_bytes(b"PK not really")
    frame = runs_frame(all_runs(tmp_path)).set_index("method")
    ordered = frame["map"].sort_values(ascending=False).index.to_list()
    assert frame["rank"].to_dict() == {method: place for place, method in enumerate(ordered, start=1)}
    assert caplog.text.count("keeps its place, untested") == 3


def test_the_best_without_per_query_values_leaves_all_their_places(tmp_path: Path) -> None:
    run(tmp_path, "best", None)
    run(tmp_path, "other", HARD / 2)
    frame = runs_frame(all_runs(tmp_path)).set_index("method")
    assert frame["rank"].to_dict() == {"best": 1, "other": 2}


def test_runs_ranked_under_another_rule_for_ties_are_not_tested_against_the_best(tmp_path: Path) -> None:
    run(tmp_path, "best", HARD)
    folder = run(tmp_path, "other", near(0.001))
    content = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    content["spec"]["ties"] = "mean"
    write_json(folder / "run.json", content)
    frame = runs_frame(all_runs(tmp_path)).set_index("method")
    assert frame["rank"].to_dict() == {"best": 1, "other": 2}


def test_the_table_is_made_from_the_frame_alone(tmp_path: Path) -> None:
    folder = run(tmp_path, "best", HARD)
    run(tmp_path, "other", near(0.1))
    frame = runs_frame(all_runs(tmp_path))
    before = table(frame)
    (folder / "per_query.npz").unlink()
    assert table(frame) == before
