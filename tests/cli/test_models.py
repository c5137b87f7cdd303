"""Short names of pretrained models on the command line, and the note of a run whose encoder saw the data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.training.encoders import zoo


def test_the_list_of_models_has_every_short_name_and_imports_no_timm(program: Callable[..., Any]) -> None:
    listed = program("list", "models", PYTHONPROFILEIMPORTTIME="1")
    assert listed.code == 0
    assert [line.split()[0] for line in listed.out.splitlines()[1:]] == [one.alias for one in zoo.zoo()]
    assert not {"timm", "torch"} & {line.rpartition("|")[2].strip() for line in listed.err.splitlines()}


def test_an_unknown_model_is_one_line_with_the_nearest_short_name(simbench: Callable[..., Any]) -> None:
    outcome = simbench("run", "-m", "pretrained", "-o", "model=dinov3-smal", "--dry-run")
    assert outcome.code == 2
    assert outcome.err.strip().endswith("timm has no model 'dinov3-smal'; did you mean 'dinov3-small'?")


def test_a_run_on_data_of_its_encoders_training_says_so_in_its_row(
    simbench: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = zoo.Overlap(("ImageNet-1k",), ("digits",), "all of this data set", "a made-up page")
    monkeypatch.setattr(zoo, "OVERLAPS", (seen,))
    words = ("-m", "pretrained", "-o", "model=efficientnet-lite0", "-o", "size=32", "--limit", "60", "-q")
    assert simbench("run", *words).code == 0
    note = "in the encoder's training data: all of this data set (a made-up page)"
    (file,) = tmp_path.rglob("run.json")
    assert note in json.loads(file.read_text("utf-8"))["flags"]
    assert note in (tmp_path / "runs" / "report" / "leaderboard.md").read_text("utf-8")
    assert simbench("run", *(word.replace("efficientnet-lite0", "tf_efficientnet_lite0") for word in words)).code == 0
    assert len(list(tmp_path.rglob("run.json"))) == 1  # the same run by its full name
