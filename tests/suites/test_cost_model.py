"""Predicted costs: the features of a frozen backbone are paid for once, however long the head is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_runs import DATA, MADE_BY, fake_result, fake_spec, write_beside, write_fake

from bench.config import Settings
from bench.contract import Dataset, EvaluationProtocol, Images, RunSpec, Split, Workplace, no_progress
from bench.files import packed_rows
from bench.runs.provenance import cpu_name
from bench.suites.cost_model import Prediction, finished_costs
from bench.suites.expansion import SuiteCell

FEATURES = {"phase": "0-features", "epoch": 0, "step": 0, "seconds": 60.0}
EPOCHS = [{"phase": "1-encoder", "epoch": n, "step": 200 * n, "seconds": 2.0 * n} for n in (1, 2, 3)]


def cell_of(spec: RunSpec) -> SuiteCell:
    """A cell of as many images as the fake run had."""

    def part(count: int) -> Split:
        ids = np.arange(count).astype(np.str_)
        return Split(Images(np.zeros((count, 8, 8, 1), np.uint8)), np.zeros(count, np.int64), ids)

    counts = DATA.counts
    parts = {name: part(counts[name]) for name in ("train", "validation", "query", "gallery")}
    protocol = EvaluationProtocol("loo", "", (), lambda collection, seed: collection)
    dataset = Dataset("digits", protocol, ("a",), mirror=False, fingerprint=spec.fingerprint, **parts)
    return SuiteCell(spec=spec, seed=0, dataset=dataset, word="digits", settings=Settings())


def predicted(root: Path, rows: Sequence[Mapping[str, float | int | str]], options: Mapping[str, float]) -> Prediction:
    """What a run with this history says of the same cell once more; its fit took 70 seconds."""
    spec = fake_spec(method="triplet", options=options)
    made_by, timings = replace(MADE_BY, cpu=cpu_name()), {"fit_seconds": 70.0, "embed_seconds": 5.0}
    folder = write_fake(root, fake_result(spec, provenance=made_by, timings=timings, seconds=75.0))
    write_beside(folder, "history.csv", packed_rows(rows))
    cell = cell_of(spec)
    (found,) = finished_costs([cell], Workplace(root, torch.device("cpu"), 1, no_progress, lambda line: None))
    return found


def test_features_are_paid_for_once_and_epochs_by_their_number(tmp_path: Path) -> None:
    found = predicted(tmp_path, [FEATURES, *EPOCHS], {"epochs": 14.0})
    assert found.per_epoch == pytest.approx(2.0)
    assert found.fixed == pytest.approx(70 - 6 + 5, abs=0.01)
    assert found.seconds == pytest.approx(69 + 28, abs=0.01)


def test_what_is_worked_out_from_features_in_closed_form_has_no_epochs(tmp_path: Path) -> None:
    found = predicted(tmp_path, [FEATURES], {})
    assert (found.per_epoch, found.seconds) == (0.0, pytest.approx(75.0, abs=0.01))
