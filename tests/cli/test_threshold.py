"""``simbench threshold``: the similarity for a rate of false matches, and what it means."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_runs import change_run, record_in
from pixel_runs import copy_of_pixels


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("threshold") / "runs"


@pytest.fixture
def run(simbench: Callable[..., Any], runs: Path, tmp_path: Path) -> Path:
    return copy_of_pixels(simbench, runs, tmp_path, "--protocol", "loo")


def test_a_rate_that_the_run_fitted_has_its_counts(simbench: Callable[..., Any], run: Path) -> None:
    kept = record_in(run).result.thresholds
    assert kept is not None
    done = simbench("threshold", "runs", "--false-matches", "1e-2", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    (point,) = [one for one in kept.test.points if one.target == 0.01]
    assert found["measured"] == {name: getattr(point, name) for name in found["measured"]}
    assert found["fitted_on"] == "validation"
    assert found["prior"] == pytest.approx(1 / 10)
    assert found["fmr_interval"][0] < point.fmr < found["fmr_interval"][1]
    assert found["probability"] < found["equal_odds"]

    words = simbench("threshold", str(run), "--false-matches", "1e-2", "--prior", "1/500").out
    assert f"similarity >= {point.threshold:.4f}" in words
    assert f"FMR {point.fmr:.5f} ({point.false_matches:,} of {point.different:,} pairs" in words
    assert "where it is 1/500 before (as asked)" in words


@pytest.mark.usefixtures("run")
def test_a_hit_means_less_the_rarer_its_class_is(simbench: Callable[..., Any]) -> None:
    found = [
        json.loads(simbench("threshold", "runs", "--similarity", "0.9", "--prior", prior, "--json").out)
        for prior in ("0.5", "1/10", "1/500")
    ]
    chances = [one["probability"] for one in found]
    assert chances == sorted(chances, reverse=True)
    assert chances[0] == pytest.approx(found[0]["equal_odds"])
    assert [one["measured"]["threshold"] for one in found] == [0.9] * 3
    assert len({one["measured"]["false_matches"] for one in found}) == 1


def test_without_validation_pairs_half_the_gallery_is_fitted_on_and_said(
    simbench: Callable[..., Any], run: Path
) -> None:
    change_run(run, thresholds=None)
    done = simbench("threshold", "runs", "--false-matches", "1e-2")
    assert done.code == 0, done.err
    assert "LABELS OF TEST WERE USED" in done.out
    rate = re.search(r"FMR (0\.\d+) \(", done.out)
    assert rate is not None
    assert 0.003 < float(rate[1]) < 0.03


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--false-matches", "1e-6"), 1, "too few pairs for a false-match rate of 1e-06"),
        (("--false-matches", "0"), 2, "0.0 is not in the range"),
        (("--false-matches", "0.1", "--similarity", "0.5"), 2, "not both"),
        (("--similarity", "2"), 2, "2.0 is not in the range"),
        (("--prior", "1/0"), 2, "expected a probability between 0 and 1, such as 1/50"),
        (("--prior", "2"), 2, "expected a probability between 0 and 1"),
    ],
)
def test_a_mistake_is_told_in_one_line(
    simbench: Callable[..., Any], words: tuple[str, ...], code: int, said: str
) -> None:
    done = simbench("threshold", "runs", *words)
    assert (done.code, said in done.err) == (code, True), done.err
    assert "Traceback" not in done.err
