"""The answers name the right row for each constraint, with the numbers of the paired comparison behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_runs import DATA, MADE_BY, change_run, measured_in, write_beside
from numpy.typing import NDArray

from bench.contract import Costs
from bench.evaluation.statistics.paired_tests import compare_with_best
from bench.report.aggregate.overall import overall_of
from bench.report.recommend.answers import TableAnswers, answers_of, latency
from bench.report.recommend.answers_text import answers_page
from bench.report.tables.frame import runs_frame
from bench.report.tables.groups import tables_of
from bench.report.tables.leaderboard import tables
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
    assert f"by {one.difference:.3f} ({one.low:.3f} to {one.high:.3f}, {p_value(one.p_corrected)})" in text
    assert f"**Did training beat frozen features?** Yes: `{training.trained.name}` is better than `pretrained`" in text
    assert " +0." not in text
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
    assert "No: `hog`, map 0." in text
    assert "is better than `triplet`, by 0." in text
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


def test_where_map_and_the_first_ten_disagree_about_training_it_is_said(
    tmp_path: Path, write_run: WriteRun, ways: Ways
) -> None:
    """The trained row ranks the far end better, and finds the same nearest images."""
    trained = write_run(tmp_path, "triplet", ways["centred"], trained=True)
    frozen = write_run(tmp_path, "pretrained", ways["ten"], baseline="frozen", uses_labels=False)
    first = ("map@10", "hit@1")
    for file in ("per_query.npz", "replicates.npz"):
        kept, better = (dict(np.load(folder / file)) for folder in (frozen, trained))
        write_beside(frozen, file, {n: (better if n.rpartition("/")[2] in first else kept)[n] for n in kept})
    (record,) = [run for run in all_runs(tmp_path) if run.folder == trained]
    same = {name: record.result.scores[name] for name in first}
    (other,) = [run for run in all_runs(tmp_path) if run.folder == frozen]
    change_run(frozen, scores={**other.result.scores, **same})
    (found,) = found_in(tmp_path)
    assert found.training is not None
    assert found.training.verdict == "better"
    assert [metric.name for metric, _ in found.training.otherwise] == ["map@10", "hit@1"]
    text = page_of(tmp_path)
    assert "**But map and what a user sees disagree**: in map@10 no difference can be told, 0.000" in text
    assert "(cannot be told in map@10, cannot be told in hit@1)" in text
    frame = runs_frame(all_runs(tmp_path), "hit@1")
    (by_hits,) = [answers_of(table).training for table in tables_of(all_runs(tmp_path), frame)]
    assert by_hits is not None
    assert (by_hits.verdict, [metric.name for metric, _ in by_hits.otherwise]) == ("cannot be told", ["map"])


def test_rows_of_one_network_are_under_the_limit_together(tmp_path: Path, write_run: WriteRun, ways: Ways) -> None:
    """Timings of the same computation differ by noise alone: 12 ms for one loss is 9 for the other."""
    costs = Costs(64, 256, network="a network")
    for method, ms, vectors in (("triplet", 12.0, "centred"), ("supcon", 8.0, "raw"), ("softmax", 9.0, "ten")):
        write_run(tmp_path, method, ways[vectors], **{**cost(ms, 0.5, 256), "costs": costs})
    write_run(tmp_path, "other", ways["three"], **{**cost(20.0, 0.5, 256), "costs": replace(costs, network="another")})
    (found,) = found_in(tmp_path)
    assert {row.name: latency(row) for row in found.table.rows} == {
        "triplet": 9.5, "supcon": 9.5, "softmax": 9.5, "other": 20.5,
    }  # fmt: skip
    assert winners(found)[1] == winners(found)[0]
    assert "the median of 3 runs of this network" in page_of(tmp_path)


def test_a_busy_machine_is_told_and_its_timings_count_only_without_others(
    tmp_path: Path, write_run: WriteRun, ways: Ways
) -> None:
    costs = Costs(64, 256, network="a network")
    write_run(tmp_path, "triplet", ways["centred"], load=1.6, **{**cost(30.0, 0.5, 256), "costs": costs})
    assert "timed on a busy machine (1 run; 1 thread beside other programs that kept up to 1.6 processors" in tables(
        runs_frame(all_runs(tmp_path))
    )
    assert [latency(row) for row in found_in(tmp_path)[0].table.rows] == [30.5]
    write_run(tmp_path, "supcon", ways["raw"], load=0.9, **{**cost(8.0, 0.5, 256), "costs": costs})
    assert [latency(row) for row in found_in(tmp_path)[0].table.rows] == [8.5, 8.5]
    assert "timed on a busy machine (1 run of triplet;" in tables(runs_frame(all_runs(tmp_path)))
