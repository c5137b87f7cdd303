"""Ranks: who cannot be told apart from the best shares its rank, and tables stay a function of the frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_runs import DATA, change_run, fake_result, fake_spec, write_beside, write_fake, write_replicates

from bench.evaluation.ranking.arrays import Floats
from bench.evaluation.statistics.estimates import estimate, of_queries
from bench.evaluation.statistics.paired_tests import compare_with_best
from bench.report.tables.frame import runs_frame
from bench.report.tables.leaderboard import table, tables
from bench.runs.store import all_runs

QUERIES, CLASSES = 120, 12
LABELS = np.arange(QUERIES) % CLASSES
RNG = np.random.default_rng(0)
HARD = RNG.uniform(0.2, 0.7, QUERIES)


def run(root: Path, method: str, values: Floats | None, *, seed: int = 0, ids: Sequence[str] | None = None) -> Path:
    """Write a finished run with these average precisions, or without per-query values and a map of 0.5."""
    score = 0.5 if values is None else float(values.mean())
    facts = {"scores": {"map": score}, "ci95": {"map": (0.1, 0.9)}}
    folder = write_fake(root, fake_result(fake_spec(method=method), seed=seed, **facts))
    if values is not None:
        names = np.array(ids or [f"q{i}" for i in range(QUERIES)])
        classes = np.array([f"c{i}" for i in range(CLASSES)])
        write_beside(folder, "per_query.npz", {"ids": names, "labels": LABELS, "classes": classes, "map": values})
        write_replicates(folder, LABELS, {"map": values})
    return folder


def near(distance: float, spread: float = 0.05) -> Floats:
    """Average precisions of a method that is worse by just so much in the mean, and otherwise for every query."""
    noise = spread * RNG.standard_normal(QUERIES)
    values: Floats = HARD - distance + noise - noise.mean()
    return values


def test_methods_not_different_from_the_best_share_rank_1(
    tmp_path: Path,
) -> None:
    values = {"best": HARD, "like": near(0.005), "worse": near(0.1), "worst": near(0.15)}
    for method, found in values.items():
        run(tmp_path, method, found)
    frame = runs_frame(all_runs(tmp_path)).set_index("method")
    assert frame["rank"].to_dict() == {"best": 1, "like": 1, "worse": 3, "worst": 4}
    best, *others = (of_queries(one[None], LABELS) for one in values.values())
    expected = [one.p_corrected for one in compare_with_best(best, others)]
    assert frame["p_from_best"][["like", "worse", "worst"]].to_list() == pytest.approx(expected)
    assert np.isnan(frame["p_from_best"]["best"])
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
    assert "were there other images of the same classes and other seeds" in tables(frame)
    assert "corrected for the best being chosen afterwards" in tables(frame)
    assert "one training each" not in tables(frame)
    assert f"with 80 % power is {frame['detectable_from_best'].max():.3f}." in tables(frame)


def test_the_footnote_says_of_how_many_trained_rows_there_is_one_training_alone(tmp_path: Path) -> None:
    for method, seeds in (("best", 1), ("other", 1), ("several", 2)):
        for seed in range(seeds):
            change_run(run(tmp_path, method, near(0.1), seed=seed), trained=True)
    assert "; 2 of these rows are one training each" in tables(runs_frame(all_runs(tmp_path)))


def test_seeds_that_differ_more_than_methods_leave_them_together_on_rank_1(tmp_path: Path) -> None:
    """Every query is better with the one by 0.05, and each seed of the other is elsewhere."""
    for seed, shift in enumerate((-0.15, -0.05, 0.05)):
        run(tmp_path, "best", HARD, seed=seed)
        run(tmp_path, "other", HARD + shift, seed=seed)
        run(tmp_path, "steady", HARD - 0.05 + 0.001 * shift, seed=seed)
    frame = runs_frame(all_runs(tmp_path)).drop_duplicates("method").set_index("method")
    assert frame["rank"][["best", "other"]].to_list() == [1, 1]
    assert frame["rank"]["steady"] > 1


def test_runs_on_unseen_classes_are_ranked_as_if_other_classes_had_been_drawn(tmp_path: Path) -> None:
    unseen = replace(DATA, seen_classes=False)
    by_class = HARD - 0.05 + np.linspace(-0.2, 0.2, CLASSES)[LABELS]
    for method, values in (("best", HARD), ("other", by_class)):
        folder = run(tmp_path, method, values)
        change_run(folder, data=unseen, ci95_other_classes={"map": (0.1, 0.9)})
    frame = runs_frame(all_runs(tmp_path)).set_index("method")
    assert set(frame["interval_of"]) == {"other_classes"}
    assert frame["rank"].to_dict() == {"best": 1, "other": 1}
    assert "were there other classes of this kind" in tables(frame.reset_index())
    for folder in (record.folder for record in all_runs(tmp_path)):
        change_run(folder, data=DATA)
    frame = runs_frame(all_runs(tmp_path)).set_index("method")
    assert set(frame["interval_of"]) == {"these_classes"}
    assert frame["rank"].to_dict() == {"best": 1, "other": 2}


def test_intervals_of_one_seed_and_of_several(tmp_path: Path) -> None:
    run(tmp_path, "single", HARD - 0.2)
    for seed, shift in enumerate((-0.1, 0.0, 0.1)):
        run(tmp_path, "several", HARD + shift, seed=seed)
    frame = runs_frame(all_runs(tmp_path))
    single, several = frame[frame["method"] == "single"].iloc[0], frame[frame["method"] == "several"].iloc[0]
    known = estimate(of_queries((HARD - 0.2)[None], LABELS))
    expected = known.low, known.high
    assert (single["map_seeds_ci95_low"], single["map_seeds_ci95_high"]) == pytest.approx(expected, abs=1e-12)
    width = several["map_seeds_ci95_high"] - several["map_seeds_ci95_low"]
    assert width > 2 * (expected[1] - expected[0])
    assert f"{HARD.mean():.3f} ± {width / 2:.3f} (0.100 sd)" in tables(frame)


def test_a_run_that_cannot_be_compared_keeps_its_place(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run(tmp_path, "best", HARD + 0.2)
    run(tmp_path, "silent", None)
    run(tmp_path, "other", HARD, ids=[f"x{i}" for i in range(QUERIES)])
    (run(tmp_path, "broken", HARD - 0.1) / "per_query.npz").write_bytes(b"PK not really")
    (run(tmp_path, "older", HARD - 0.2) / "replicates.npz").unlink()
    frame = runs_frame(all_runs(tmp_path)).set_index("method")
    ordered = frame["map"].sort_values(ascending=False).index.to_list()
    assert frame["rank"].to_dict() == {method: place for place, method in enumerate(ordered, start=1)}
    assert caplog.text.count("keeps its place, untested") == 4


def test_the_best_without_per_query_values_leaves_all_their_places(tmp_path: Path) -> None:
    run(tmp_path, "best", None)
    run(tmp_path, "other", HARD / 2)
    frame = runs_frame(all_runs(tmp_path)).set_index("method")
    assert frame["rank"].to_dict() == {"best": 1, "other": 2}


def test_runs_ranked_under_another_rule_for_ties_are_not_tested_against_the_best(tmp_path: Path) -> None:
    run(tmp_path, "best", HARD)
    folder = run(tmp_path, "other", near(0.001))
    change_run(folder, {"ties": "mean"})
    frame = runs_frame(all_runs(tmp_path)).set_index("method")
    assert frame["rank"].to_dict() == {"best": 1, "other": 2}


def test_the_table_is_made_from_the_frame_alone(tmp_path: Path) -> None:
    folder = run(tmp_path, "best", HARD)
    run(tmp_path, "other", near(0.1))
    frame = runs_frame(all_runs(tmp_path))
    before = table(frame)
    (folder / "per_query.npz").unlink()
    (folder / "replicates.npz").unlink()
    assert table(frame) == before
