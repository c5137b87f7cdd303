"""The answers name the right row for each constraint, with the numbers of the paired comparison behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_runs import DATA, MADE_BY, change_run, measured_in
from numpy.typing import NDArray

from bench.evaluation.statistics.paired_tests import compare_with_best
from bench.report.aggregate.overall import overall_of
from bench.report.recommend.answers import TableAnswers, answers_of, latency
from bench.report.recommend.answers_text import answers_page
from bench.report.tables.frame import runs_frame
from bench.report.tables.groups import tables_of
from bench.report.tables.wording import p_value
from bench.runs.store import all_runs

WriteRun = Callable[..., Path]
Ways = dict[str, NDArray[Any]]


def found_in(root: Path) -> list[TableAnswers]:
    records = all_runs(root)
    return [answers_of(table) for table in tables_of(records, runs_frame(records))]


def page_of(root: Path) -> str:
    records = all_runs(root)
    tables = tables_of(records, runs_frame(records)) if records else []
    return answers_page([answers_of(table) for table in tables], overall_of(tables))


def cost(embed: float, search: float, size: int) -> dict[str, Any]:
    return {"latency": {"embed_1_median_ms": embed, "search_median_ms": search}, "bytes_per_vector": size}


@pytest.fixture
def runs(tmp_path: Path, write_run: WriteRun, ways: Ways) -> dict[str, Path]:
    """A slow, large, trained winner; what is nearly as good and small; frozen features; a floor that is fast."""
    rng = np.random.default_rng(1)
    near = ways["centred"] + 0.01 * rng.standard_normal(ways["centred"].shape)
    return {
        "triplet": write_run(
            tmp_path, "triplet", ways["centred"], trained=True, timings={"fit_seconds": 99.0}, **cost(9.9, 0.2, 4096)
        ),
        "supcon": write_run(tmp_path, "supcon", near, trained=True, **cost(9.7, 0.2, 1024)),
        "pretrained": write_run(
            tmp_path, "pretrained", ways["ten"], uses_labels=False, baseline="frozen", **cost(5.0, 1.0, 512)
        ),
        "pixels": write_run(tmp_path, "pixels", ways["three"], uses_labels=False, **cost(0.1, 0.1, 64)),
        "lda": write_run(tmp_path, "lda", None, reason="singular"),
    }


def winners(found: TableAnswers) -> list[str | None]:
    return [None if answer.winner is None else answer.winner.name for answer in found.answers]


@pytest.mark.usefixtures("runs")
def test_each_constraint_has_its_own_winner(tmp_path: Path) -> None:
    (found,) = found_in(tmp_path)
    best = max(found.table.rows, key=lambda row: row.mean("map") or 0)
    assert winners(found) == [best.name, "supcon", "pretrained", "pretrained"]


def test_a_limit_is_not_fulfilled_by_what_equals_it(tmp_path: Path, write_run: WriteRun, ways: Ways) -> None:
    write_run(tmp_path, "supcon", ways["raw"], **cost(9.5, 0.5, 1024))
    (found,) = found_in(tmp_path)
    assert latency(found.table.rows[0]) == pytest.approx(10.0)
    assert winners(found) == ["supcon", None, None, None]
    text = page_of(tmp_path)
    assert "no row fulfils it; the nearest, `supcon`, takes 10 ms." in text
    assert "no row fulfils it; the nearest, `supcon`, takes 1,024 bytes." in text
    assert "**Best without labels**: no row fulfils it." in text


def test_a_run_on_a_gpu_is_no_answer_about_a_cpu(tmp_path: Path, write_run: WriteRun, ways: Ways) -> None:
    folder = write_run(tmp_path, "supcon", ways["raw"], **cost(0.5, 0.5, 64))
    change_run(folder, {"device": "cuda"}, provenance=replace(MADE_BY, device="cuda"))
    assert winners(found_in(tmp_path)[0])[1] is None


def test_differences_intervals_and_p_are_those_of_the_paired_comparison(tmp_path: Path, runs: dict[str, Path]) -> None:
    (found,) = found_in(tmp_path)
    best = found.answers[0]
    assert best.winner is not None
    names = [rival.row.name for rival in best.rivals]
    expected = compare_with_best(
        measured_in([runs[best.winner.name]], "map"), [measured_in([runs[name]], "map") for name in names]
    )
    for rival, one in zip(best.rivals, expected, strict=True):
        assert rival.found is not None
        assert rival.found.difference == pytest.approx(-one.difference)
        assert (rival.found.low, rival.found.high) == pytest.approx((-one.high, -one.low))
        assert rival.found.p_corrected == pytest.approx(one.p_corrected)
    assert {rival.row.name for rival in best.tied} <= {"triplet", "supcon"}
    assert {rival.row.name for rival in best.beaten} == {"pretrained", "pixels"}


@pytest.mark.usefixtures("runs")
def test_training_is_compared_with_frozen_features_and_the_page_says_by_how_much(tmp_path: Path) -> None:
    (found,) = found_in(tmp_path)
    training = found.training
    assert training is not None
    assert (training.rival.row.name, training.rival.separable) == ("pretrained", True)
    assert training.rival.found is not None
    one = training.rival.found
    text = page_of(tmp_path)
    assert f"{one.difference:+.3f} ({one.low:+.3f} to {one.high:+.3f}, {p_value(one.p_corrected)})" in text
    assert "**Did training beat frozen features?** Yes: `" in text
    assert "**Training against frozen features**: better in 1 of 1 tables" in text


@pytest.mark.usefixtures("runs")
def test_answers_tell_the_smallest_detectable_difference(tmp_path: Path) -> None:
    (found,) = found_in(tmp_path)
    tied = found.answers[0].tied
    text = page_of(tmp_path)
    assert len(tied) == 1
    assert tied[0].found is not None
    assert f"**No difference can be told** between `{winners(found)[0]}` and: `{tied[0].row.name}`" in text
    assert f"{tied[0].found.detectable:.3f} would be seen" in text
    assert "1 run failed" in text


def test_features_that_beat_training_are_a_no(tmp_path: Path, write_run: WriteRun, ways: Ways) -> None:
    write_run(tmp_path, "triplet", ways["three"], trained=True)
    write_run(tmp_path, "hog", ways["centred"])
    text = page_of(tmp_path)
    assert "Yes: `triplet`" not in text
    assert "No: `triplet` less `hog`" in text
    assert "(no frozen features here: the best row that trains nothing)" in text


def test_new_classes_are_answered_from_runs_on_unseen_classes_only(
    tmp_path: Path, write_run: WriteRun, ways: Ways
) -> None:
    write_run(tmp_path, "triplet", ways["raw"])
    assert "None of these runs was made by protocol `unseen`" in page_of(tmp_path)
    write_run(tmp_path, "triplet", ways["ten"], protocol="unseen", data=replace(DATA, seen_classes=False))
    text = page_of(tmp_path)
    assert "No runs yet" not in text
    assert "- digits · unseen: **Best quality**: `triplet`" in text


@pytest.mark.parametrize("missing", ["per_query.npz", "replicates.npz"])
def test_rows_without_values_for_every_query_or_group_are_told_as_untested(
    tmp_path: Path, write_run: WriteRun, ways: Ways, missing: str
) -> None:
    write_run(tmp_path, "triplet", ways["centred"])
    (write_run(tmp_path, "pixels", ways["three"]) / missing).unlink()
    assert "Not tested, for want of values for every query: `pixels`." in page_of(tmp_path)


def test_a_page_of_no_runs_says_how_to_start(tmp_path: Path) -> None:
    text = page_of(tmp_path)
    assert text.startswith("# Answers")
    assert "No finished runs yet. Start with `simbench run" in text


def test_a_table_of_failures_says_so(tmp_path: Path, write_run: WriteRun) -> None:
    write_run(tmp_path, "lda", None, reason="singular")
    assert "Every run failed" in page_of(tmp_path)
