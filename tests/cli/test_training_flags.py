"""The flags of training: they reach the methods that train, and a wrong one is told before anything runs."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from bench.config import Config, Settings
from bench.contract import no_progress
from bench.runs.artifacts import read_vectors
from bench.runs.fitting import FOLDER
from bench.runs.loaded_run import images_of, open_run
from bench.runs.store import all_runs

SMALL = ("-o", "siamese.encoder=simplecnn", "-o", "siamese.batch_size=8")


def test_lr_weight_decay_and_augment_are_options_of_every_method_that_trains(
    simbench: Callable[..., Any], tmp_path: Path
) -> None:
    words = ("--lr", "1e-3", "--weight-decay", "0.1", "--augment", "none", "--epochs", "0.005", "--limit", "60")
    done = simbench("run", "-m", "siamese", "-m", "pixels", *words, "--json")
    assert done.code == 0, done.err
    runs = {run["spec"]["method"]: run for run in json.loads(done.out)}
    assert runs["siamese"]["deviations"] == {"augment": "none", "lr": 0.001, "weight_decay": 0.1}
    assert runs["pixels"]["deviations"] == {}
    table = (tmp_path / "runs" / "report" / "leaderboard.md").read_text(encoding="utf-8")
    assert "augment none; lr 0.001; weight_decay 0.1" in table
    assert "**Every row**: epochs 0.005." in table


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--augment", "ligth"), "did you mean 'light'"),
        (("--lr", "-1"), "lr must be above 0"),
        (("-o", "encoder=resnet18"), "did you mean 'resnet'"),
        (("-o", "precision=float16"), "float16 needs a CUDA device"),
    ],
)
def test_nonsense_is_told_in_one_line(simbench: Callable[..., Any], words: tuple[str, ...], said: str) -> None:
    done = simbench("run", "-m", "triplet", "--limit", "60", "--epochs", "0.01", *words)
    assert done.code in (1, 2)
    assert said in done.err
    assert "Traceback" not in done.err


def test_curves_for_tensorboard_are_those_of_the_history(simbench: Callable[..., Any], tmp_path: Path) -> None:
    done = simbench("run", "-m", "siamese", "--epochs", "0.01", "--limit", "100", *SMALL, "--tensorboard")
    assert done.code == 0, done.err
    (folder,) = tmp_path.glob("runs/digits/holdout/siamese/*/seed0")
    rows = list(csv.DictReader((folder / "history.csv").open(encoding="utf-8")))
    events = EventAccumulator(str(folder / FOLDER)).Reload()
    points = events.Scalars("1-encoder/val_map")
    assert [point.value for point in points] == pytest.approx([float(row["val_map"]) for row in rows], abs=1e-6)


def test_mirror_test_is_one_option_of_all_methods_and_off_by_default(
    simbench: Callable[..., Any], pictures: Path, tmp_path: Path
) -> None:
    words = ("run", "-m", "pixels", "-m", "siamese", "-d", str(pictures), "--epochs", "0.01", *SMALL, "-q")
    assert simbench(*words).code == 0
    done = simbench(*words, "--mirror-test")
    assert done.code == 0, done.err
    runs = all_runs(tmp_path / "runs")
    assert {(one.result.method, one.result.spec.mirror_test) for one in runs} == {
        (method, mirrored) for method in ("pixels", "siamese") for mirrored in (False, True)
    }
    for one in runs:
        images = images_of(one, Config(Settings()), no_progress, tmp_path, where=str(pictures)).query.images
        trained = open_run(one.folder, torch.device("cpu"))
        pixels = images.take(slice(0, 3))
        kept = read_vectors(one)["query"][:3]
        np.testing.assert_allclose(trained.embed(pixels), kept, atol=1e-5)
        turned = trained.embed(np.ascontiguousarray(pixels[:, :, ::-1]))
        assert np.allclose(turned, kept, atol=1e-4) == one.result.spec.mirror_test
    flops = {
        one.result.spec.mirror_test: one.result.costs.flops
        for one in runs
        if one.result.costs and one.result.costs.flops
    }
    assert flops[True] == 2 * flops[False]
    table = (tmp_path / "runs" / "report" / "leaderboard.md").read_text(encoding="utf-8")
    assert "pixels (mirror_test=True)" in table
    assert "pixels (mirror_test=False)" in table


def test_data_that_may_not_be_mirrored_are_not_and_it_is_told(simbench: Callable[..., Any], tmp_path: Path) -> None:
    assert simbench("run", "-m", "pixels", "--limit", "100", "-q").code == 0
    done = simbench("run", "-m", "pixels", "--limit", "100", "-q", "--mirror-test")
    assert "digits: mirror_test is left out" in done.err
    (run,) = all_runs(tmp_path / "runs")  # the same run: it was not made again
    assert not run.result.spec.mirror_test
