"""What is said of finished runs: the row to use within limits, how sure that is, and the page that shows it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_runs import record_in
from numpy.typing import NDArray

import bench
from bench.choose.climb import Climb, LeftOut, Result
from bench.choose.page import write_choice
from bench.choose.rungs import Rung
from bench.choose.verdict import Verdict, command, verdict_of, within
from bench.choose.verdict_text import costs_in_words, data_in_words, left_out, sentences
from bench.contract import DataError, Dataset

WriteRun = Callable[..., Path]
HEAD = Rung("a head", "proxy_anchor", {"encoder": "timm/resnet18", "freeze_fraction": 1.0})


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return bench.load("digits", protocol="loo")


@pytest.fixture
def climb(tmp_path: Path, write_run: WriteRun, ways: dict[str, NDArray[Any]]) -> Climb:
    """Two trained rows that cannot be told apart, frozen features that are small and fast, and the pixels."""
    near = ways["centred"] + 0.01 * np.random.default_rng(1).standard_normal(ways["centred"].shape)
    slow, fast = (
        {"embed_1_median_ms": 30.0, "search_median_ms": 1.0},
        {"embed_1_median_ms": 2.0, "search_median_ms": 1.0},
    )
    made = [
        (HEAD, write_run(tmp_path, "proxy_anchor", ways["centred"], trained=True, latency=slow, timings=fit(90))),
        (Rung("another", "softmax"), write_run(tmp_path, "softmax", near, trained=True, latency=slow, timings=fit(30))),
        (
            Rung("frozen", "pretrained", learns=False),
            write_run(tmp_path, "pretrained", ways["ten"], baseline="frozen", uses_labels=False, latency=fast),
        ),
    ]
    found = Climb(100.0, None, lambda line: None, lambda: 0.0)  # type: ignore[arg-type] # nothing more is run
    found.results += [Result(rung, record_in(folder)) for rung, folder in made]
    found.left_out.append(LeftOut(Rung("the last stages too", "proxy_anchor"), 0, "it would take long", 600.0))
    return found


def fit(seconds: float) -> dict[str, float]:
    return {"fit_seconds": seconds}


def asked(climb: Climb, data: Dataset, ms: float | None = None, size: int | None = None) -> Verdict:
    return verdict_of(climb, data, *within(ms, size))


def test_the_best_row_is_named_with_what_cannot_be_told_from_it(climb: Climb, digits: Dataset) -> None:
    verdict = asked(climb, digits)
    said = dict(sentences(verdict))
    best = max(one.record.result.scores["map"] for one in climb.results)
    assert verdict.winner.score == best
    assert said["Use"].startswith(
        f"{verdict.winner.name}, {verdict.rungs[verdict.winner.slug].words}: map {best:.3f} ("
    )
    other = {"proxy_anchor": "softmax", "softmax": "proxy_anchor"}[verdict.winner.name]
    assert f"It cannot be told from {other} (behind by 0.00" in said["Sure"]
    assert "It is better than pretrained by" in said["Sure"]
    assert "It was trained once" in said["Sure"]
    assert said["Training"].startswith(f"It was worth it: {verdict.winner.name} is better than pretrained")
    assert "(600" not in left_out(verdict)[0]
    assert left_out(verdict) == ["for want of time: the last stages too (10 min)"]


def test_of_rows_that_cannot_be_told_apart_the_quickest_to_make_is_named(climb: Climb, digits: Dataset) -> None:
    verdict = asked(climb, digits)
    quick = verdict.cheaper
    assert (quick.name if quick else verdict.winner.name) == "softmax"


def test_limits_decide_who_may_win_and_the_best_of_all_is_named_too(climb: Climb, digits: Dataset) -> None:
    by_time, by_size = asked(climb, digits, ms=20), asked(climb, digits, size=40)
    assert by_time.winner.name == by_size.winner.name == "pretrained"
    assert "It is the best within 20 ms an image; without that," in dict(sentences(by_time))["Use"]
    assert "It is the best within 40 bytes a vector; without that," in dict(sentences(by_size))["Use"]
    assert costs_in_words(by_size.winner).startswith(
        "3.0 ms to embed an image and search for it, 40 bytes a vector, no "
    )


def test_limits_that_nothing_keeps_are_told_with_the_nearest(climb: Climb, digits: Dataset) -> None:
    verdict = asked(climb, digits, ms=0.5)
    assert not verdict.keeps
    assert (
        "Nothing tried keeps to 0.5 ms an image: no row fulfils it; the nearest, `pretrained`, takes 3 ms"
        in (dict(sentences(verdict))["Use"])
    )


def test_mistakes_are_counted_by_the_nearest_picture(climb: Climb, digits: Dataset) -> None:
    verdict = asked(climb, digits)
    scores = verdict.winner.first.result.scores
    assert verdict.mistakes is not None
    assert verdict.mistakes.wrong / verdict.mistakes.asked == pytest.approx(1 - scores["hit@1"])
    assert 0 < sum(count for _, _, count in verdict.mistakes.confused) <= verdict.mistakes.wrong


def test_the_command_makes_the_row_again(climb: Climb, digits: Dataset) -> None:
    verdict = asked(climb, digits)
    head = next(row for row in verdict.table.rows if row.name.startswith("proxy_anchor"))
    assert command(verdict, head, "my photos") == (
        "simbench run -m proxy_anchor -d 'my photos' --protocol loo -o encoder=timm/resnet18 -o freeze_fraction=1 "
        "--epochs 3 --seeds 0"
    )


def test_page_and_json_say_the_same_numbers(climb: Climb, digits: Dataset, tmp_path: Path) -> None:
    verdict = asked(climb, digits)
    page = write_choice(verdict, digits, "digits", tmp_path / "choice").read_text(encoding="utf-8")
    facts = json.loads((tmp_path / "choice" / "choice.json").read_text(encoding="utf-8"))
    assert facts["winner"]["map"] == verdict.winner.score
    assert [row["map"] for row in facts["rows"]] == [f"{row.score:.3f}" for row in verdict.table.rows]
    assert all(f"<td>{row['map']}</td>" in page for row in facts["rows"])
    assert data_in_words(verdict.facts) in page
    assert facts["winner"]["runs"] == [str(verdict.winner.first.folder)]


def test_without_any_result_the_reason_is_told(digits: Dataset) -> None:
    empty = Climb(1.0, None, lambda line: None, lambda: 0.0)  # type: ignore[arg-type] # nothing is run
    empty.left_out.append(LeftOut(HEAD, 0, "it would take about 10 s, and 1 s were left", 10.0))
    with pytest.raises(DataError, match=r"nothing finished within the budget: proxy_anchor: it would take about 10 s"):
        asked(empty, digits)
