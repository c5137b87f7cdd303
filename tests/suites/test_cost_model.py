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
from bench.runs.integrity import write_sealed
from bench.runs.provenance import cpu_name
from bench.suites.cell import CARD
from bench.suites.cost_model import Prediction, finished_costs, predict, trial_limit, trial_place
from bench.suites.expansion import SuiteCell

Row = Mapping[str, float | int | str]
FEATURES: Row = {"phase": "0-features", "epoch": 0, "step": 0, "seconds": 60.0}
EPOCHS: list[Row] = [{"phase": "1-encoder", "epoch": n, "step": 200 * n, "seconds": 2.0 * n} for n in (1, 2, 3)]


def cell_of(spec: RunSpec, side: int = 8) -> SuiteCell:
    """A cell of as many images as the fake run had."""

    def part(count: int) -> Split:
        ids = np.arange(count).astype(np.str_)
        return Split(Images(np.zeros((count, side, side, 1), np.uint8)), np.zeros(count, np.int64), ids)

    counts = DATA.counts
    train, validation, query, gallery = (part(counts[name]) for name in ("train", "validation", "query", "gallery"))
    protocol = EvaluationProtocol("loo", "", (), lambda collection, seed: collection)
    dataset = Dataset(
        "digits", protocol, ("a",), train, validation, query, gallery, mirror=False, fingerprint=spec.fingerprint
    )
    return SuiteCell(spec=spec, seed=0, dataset=dataset, word="digits", settings=Settings())


def predicted(root: Path, rows: Sequence[Row], options: Mapping[str, float]) -> Prediction:
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
    assert found.per_epoch == 0
    assert found.seconds == pytest.approx(75.0, abs=0.01)


@pytest.mark.parametrize(("side", "images", "epochs"), [(8, 512, 0.1), (96, 512, 0.1), (224, 128, 0.025)])
def test_large_images_are_tried_with_fewer_of_them_and_fewer_steps(
    tmp_path: Path, side: int, images: int, epochs: float
) -> None:
    cell = cell_of(fake_spec(method="triplet", options={}), side)
    tried: list[SuiteCell] = []

    def run(cells: Sequence[SuiteCell]) -> Mapping[Path, str]:
        tried.extend(cells)
        return {one.folder(tmp_path): "not today" for one in cells}

    place = Workplace(tmp_path, torch.device("cpu"), 1, no_progress, lambda line: None)
    predict([cell], place, lambda one: one.dataset, run)
    (trial,) = tried
    assert (trial_limit(cell), trial.spec.data["limit"], trial.settings.limit) == (images, images, images)
    assert trial.spec.budget.epochs == epochs
    fewer = replace(cell, settings=replace(cell.settings, limit=100))
    assert trial_limit(fewer) == 100


def test_a_cell_is_expected_to_hold_of_a_card_what_one_of_its_kind_held(tmp_path: Path) -> None:
    made_by, timings = replace(MADE_BY, cpu=cpu_name(), device="cuda"), {"fit_seconds": 7.0, "embed_seconds": 5.0}
    spec = fake_spec(method="triplet")
    folder = write_fake(tmp_path, fake_result(spec, provenance=made_by, timings=timings, seconds=75.0))
    place = Workplace(tmp_path, torch.device("cuda"), 1, no_progress, lambda line: None)
    assert [one.card for one in finished_costs([cell_of(spec)], place)] == [0]
    write_sealed(folder / CARD, {"peak_card_bytes": 3 << 30})
    assert [one.card for one in finished_costs([cell_of(spec)], place)] == [3 << 30]


def test_from_a_trial_a_cells_pixels_and_vectors_are_added_to_what_it_held_of_a_card(tmp_path: Path) -> None:
    cell, place = cell_of(fake_spec(method="triplet")), Workplace(tmp_path, torch.device("cuda"), 1, no_progress, print)
    made_by, timings = replace(MADE_BY, cpu=cpu_name(), device="cuda"), {"fit_seconds": 7.0, "embed_seconds": 5.0}

    def run(cells: Sequence[SuiteCell]) -> Mapping[Path, str]:
        (trial,) = cells
        few = replace(DATA, counts={name: count // 2 for name, count in DATA.counts.items()})
        made = fake_result(trial.spec, provenance=made_by, timings=timings, seconds=75.0, data=few)
        folder = write_fake(trial_place(place).root, made)
        write_sealed(folder / CARD, {"peak_card_bytes": 1_000_000})
        return {}

    (found,) = predict([cell], place, lambda one: one.dataset, run)
    images = {name: count - count // 2 for name, count in DATA.counts.items()}
    pixels = (images["train"] + images["validation"]) * DATA.shape.height * DATA.shape.width * DATA.shape.channels
    assert found.source == "trial"
    assert found.card > 1_000_000 + pixels
