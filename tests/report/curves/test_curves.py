"""Label curves and robustness tables: from run folders alone, one test a panel, seeds and queries in the interval."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_runs import DATA, fake_result, fake_spec, measured_in, record_in, write_beside, write_fake, write_replicates

from bench.contract import Budget, Digests
from bench.evaluation.corruptions import CORRUPTIONS
from bench.evaluation.statistics.estimates import estimate, of_queries
from bench.files import packed_arrays
from bench.report.curves.curves import write_curves
from bench.report.curves.label_curves import label_panels, label_rows, label_text
from bench.report.curves.reranked import Reranked, as_table
from bench.report.curves.robustness_curves import robustness_panels, robustness_text, sweeps_of
from bench.report.tables.frame import stem
from bench.runs.integrity import FileWriter, write_sealed
from bench.runs.robustness import ROBUSTNESS, VALUES
from bench.runs.robustness import SCHEMA as SWEEP
from bench.runs.store import all_runs

LABELS = np.repeat(np.arange(4), 10)


def run(root: Path, method: str, score: float, *, seed: int = 0, **spec: Any) -> Path:
    """Write a run folder whose queries all have about the same score."""
    data = spec.pop("data", {})
    budget = data.get("labels_per_class")
    chosen = fake_spec(
        dataset="toy", method=method, fingerprint=f"data {data}", data=data, **{"budget": Budget(epochs=1.0), **spec}
    )
    counts = {"train": 4 * (budget or 54), "validation": 0 if budget else 24}
    values = np.clip(score + np.random.default_rng(seed).normal(0, 0.01, len(LABELS)), 0, 1)
    scored = {"map": values, "hit@1": np.round(values)}
    result = fake_result(
        chosen,
        seed=seed,
        data=replace(DATA, counts=counts, classes=4),
        digests=Digests(f"{method} {chosen.key} {seed}", None),
        scores={metric: float(one.mean()) for metric, one in scored.items()},
    )
    folder = write_fake(root, result)
    ids = np.array([f"q{n}" for n in range(len(LABELS))], np.str_)
    arrays = {"ids": ids, "labels": LABELS, "gallery_ids": ids, "gallery_labels": LABELS}
    write_beside(folder, "per_query.npz", {**arrays, **scored})
    write_replicates(folder, LABELS, scored)
    return folder


def swept(folder: Path, *, loss: float = 0.1) -> None:
    """Write a sweep in which each severity costs every query ``loss`` more."""
    kept = np.load(folder / "per_query.npz")
    kinds = {name: list(one.levels) for name, one in CORRUPTIONS.items() if not one.colour}
    plan = {"run": record_in(folder).digest, "seed": 0, "corruptions": kinds}
    values, conditions = {}, []
    for kind in kinds:
        for severity in (1, 2, 3):
            for metric in ("map", "hit@1"):
                values[f"{kind}-{severity}/{metric}"] = kept[metric] - severity * loss
            told = {"scores": {"map": 0.5, "hit@1": 0.5}, "ci95": {"map": [0.4, 0.6], "hit@1": [0.4, 0.6]}}
            conditions.append({"corruption": kind, "severity": severity, "level": 1.0, **told, "drop": told})
    files = FileWriter(folder)
    files.write(VALUES, packed_arrays(values))
    found = {"clean": told, "mean_drop": told, "conditions": conditions, "files": files.digests}
    write_sealed(folder / ROBUSTNESS, {"schema": SWEEP, "plan": plan, **found})


@pytest.fixture
def budgets(tmp_path: Path) -> Path:
    root = tmp_path / "runs"
    for budget, score in ((1, 0.3), (5, 0.5), (20, 0.7), (None, 0.9)):
        for seed in (0, 1):
            data = {} if budget is None else {"labels_per_class": budget}
            run(root, "triplet", score + 0.02 * seed, seed=seed, data=data)
    run(root, "pixels", 0.4, data={"labels_per_class": 1})
    run(root, "never_limited", 0.8)
    return root


def test_a_curve_is_a_methods_budgets_in_order_and_ends_with_all_labels(budgets: Path) -> None:
    (panel,) = label_panels(all_runs(budgets))
    assert list(panel.curves) == ["triplet", "pixels"]
    points = panel.curves["triplet"]
    assert [(point.name, point.at, point.seeds) for point in points] == [
        ("1", 1, 2), ("5", 5, 2), ("20", 20, 2), ("all", 60, 2)
    ]  # fmt: skip
    for point, score in zip(points, (0.31, 0.51, 0.71, 0.91), strict=True):
        one = point.scores["map"]
        assert one.mean == pytest.approx(score, abs=0.005)
        assert one.low < one.mean < one.high
        assert one.spread == pytest.approx(0.02 / 2**0.5, rel=0.5)
    assert [point.name for point in panel.curves["pixels"]] == ["1"]


def test_other_tests_other_choices_and_other_options_are_kept_apart(budgets: Path) -> None:
    run(budgets, "pca", 0.6, data={"labels_per_class": 5, "limit": 100})
    other = run(budgets, "hog", 0.6, data={"labels_per_class": 5})
    kept = dict(np.load(other / "per_query.npz"))
    write_beside(other, "per_query.npz", {**kept, "ids": kept["ids"][::-1]})
    run(budgets, "triplet", 0.6, data={"labels_per_class": 5}, budget=Budget(epochs=9.0))
    panels = {panel.title: panel for panel in label_panels(all_runs(budgets)) if "hog" not in panel.curves}
    assert len(label_panels(all_runs(budgets))) == 3
    assert list(panels["toy · loo · limit 100"].curves) == ["pca"]
    assert list(panels["toy · loo"].curves) == ["triplet (epochs=1)", "triplet (epochs=9)", "pixels"]


@pytest.mark.parametrize(("spec", "told"), [({"ties": "mean"}, "ties=mean"), ({"ks": (1, 5)}, "ks=[1, 5]")])
def test_runs_scored_otherwise_are_a_curve_of_their_own_and_no_other_seed(
    tmp_path: Path, spec: dict[str, Any], told: str
) -> None:
    usual: dict[str, Any] = {"ties": "pessimistic", "ks": (1, 10, 50)}
    run(tmp_path, "pca", 0.6, data={"labels_per_class": 5}, **usual)
    run(tmp_path, "pca", 0.6, data={"labels_per_class": 5}, **{**usual, **spec})
    (panel,) = label_panels(all_runs(tmp_path))
    assert len(panel.curves) == 2
    assert any(told in name for name in panel.curves)
    assert all(point.seeds == 1 for points in panel.curves.values() for point in points)


def test_the_results_hold_tables_and_figures_of_both(budgets: Path, tmp_path: Path) -> None:
    assert write_curves(all_runs(budgets), tmp_path / "one") == [tmp_path / "one" / "labels.md"]
    swept(run(budgets, "hog", 0.8))
    swept(run(budgets, "random", 0.8), loss=0.2)
    results = tmp_path / "two"
    write_curves(all_runs(budgets), results)
    text = (results / "labels.md").read_text()
    row = next(line for line in text.splitlines() if line.startswith("| triplet"))
    assert [cell.split()[0] for cell in row.split("|")[2:6]] == ["0.310", "0.510", "0.710", "0.910"]
    assert "figures/labels-toy-loo.svg" in text
    assert "figures/robustness-toy-loo.svg" in (results / "robustness.md").read_text()
    for name in ("labels-toy-loo", "robustness-toy-loo"):
        assert b"<svg" in (results / "figures" / f"{name}.svg").read_bytes()
    with (results / "labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [one["labels_per_class"] for one in rows] == ["1", "5", "20", "all", "1"]
    with (results / "robustness.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * (1 + 15)
    assert rows[0]["corruption"] == "clean"
    assert rows[0]["drop_map"] == ""


def test_a_run_that_lost_its_arrays_is_left_out_with_a_warning(budgets: Path, caplog: pytest.LogCaptureFixture) -> None:
    swept(run(budgets, "hog", 0.8))
    random = run(budgets, "random", 0.8)
    swept(random, loss=0.2)
    (random / VALUES).unlink()
    (pixels,) = budgets.glob("toy/loo/pixels/*/seed0")
    (pixels / "replicates.npz").write_bytes(b"no archive")
    (panel,) = robustness_panels(sweeps_of(all_runs(budgets)))
    assert [row.name for row in panel.rows] == ["hog"]
    (curves,) = label_panels(all_runs(budgets))
    assert list(curves.curves) == ["triplet"]
    assert "left out of the robustness tables: cannot read" in caplog.text
    assert "left out of the label budgets: cannot read" in caplog.text


def test_nothing_is_written_where_there_is_nothing(tmp_path: Path) -> None:
    run(tmp_path / "runs", "pixels", 0.5)
    assert write_curves(all_runs(tmp_path / "runs"), tmp_path / "results") == []
    assert not (tmp_path / "results").exists()


def test_a_drop_is_paired_and_its_interval_is_that_of_the_differences(tmp_path: Path) -> None:
    for seed in (0, 1):
        swept(run(tmp_path, "hog", 0.8, seed=seed))
    swept(run(tmp_path, "random", 0.8), loss=0.2)
    (panel,) = robustness_panels(sweeps_of(all_runs(tmp_path)))
    assert [row.name for row in panel.rows] == ["hog", "random"]
    assert set(panel.corruptions) == {"blur", "noise", "jpeg", "rotate", "crop"}
    hog = panel.rows[0]
    assert hog.seeds == 2
    for name in ("mean/drop/map", "crop/drop/map"):
        one = hog.scores[name]
        assert (one.mean, one.low, one.high) == pytest.approx((0.2, 0.2, 0.2)), "every query lost the same"
    assert hog.scores["blur-3/map"].mean == pytest.approx(hog.scores["clean/map"].mean - 0.3)


def test_intervals_are_those_of_the_runs_scores_and_of_the_conditions_values(budgets: Path) -> None:
    (panel,) = label_panels(all_runs(budgets))
    folders = [one.folder for one in all_runs(budgets) if one.result.method == "triplet" and not one.result.spec.data]
    assert panel.curves["triplet"][-1].scores["map"] == estimate(measured_in(folders, "map"))
    folder = run(budgets, "hog", 0.8)
    swept(folder)
    (robust,) = robustness_panels(sweeps_of(all_runs(budgets)))
    values = np.load(folder / VALUES)["blur-2/map"]
    assert robust.rows[0].scores["blur-2/map"] == estimate(of_queries(values[None], LABELS))


def test_a_rows_table_and_a_stem_hold_plain_words(budgets: Path) -> None:
    (panel,) = label_panels(all_runs(budgets))
    assert label_rows(panel)[0]["train_images"] == 4
    assert stem(["labels", "my set", "loo"], [], "abc") == "labels-my-set-loo"
    assert stem(["labels", "my set", "loo"], ["labels-my-set-loo"], "0123456789") == "labels-my-set-loo-01234567"


def test_queries_with_nothing_to_find_are_told_under_every_table(budgets: Path) -> None:
    hog = run(budgets, "hog", 0.8)
    swept(hog)
    records = all_runs(budgets)
    assert "scored" not in label_text(label_panels(records)[0]) + robustness_text(
        robustness_panels(sweeps_of(records))[0]
    )
    for folder in (record.folder for record in records):
        kept = dict(np.load(folder / "per_query.npz"))
        kept["map"][:6] = np.nan
        write_beside(folder, "per_query.npz", kept)
    swept(hog)
    records = all_runs(budgets)
    told = "**Queries**: 34 of 40 queries scored: 6 have nothing to find in the gallery"
    assert told in label_text(label_panels(records)[0])
    assert told in robustness_text(robustness_panels(sweeps_of(records))[0])
    values = np.array([0.5, np.nan, np.nan])
    assert "**Queries**: ALARM: only 1 of 3 queries scored" in as_table(
        [Reranked("none", values, values, values, 1)], 5
    )
