"""One small arcface run on scikit-learn's digits with a decoder, and its images as files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.config import Config, Settings
from bench.contract import Dataset, Workplace
from bench.runs.loaded_run import TrainedRun, open_run
from bench.runs.run_plan import chosen_data, load_collection, plan_cells, run_cells


def no_bar(items: Iterable[Any], *, total: int, what: str) -> Iterable[Any]:
    return items


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Dataset]:
    """The run's folder and the data it was scored on; a run of ``limit`` images, so that its choice of data counts."""
    root = tmp_path_factory.mktemp("runs")
    config = Config(Settings(protocol="holdout", limit=300, epochs=0.2))
    collection = load_collection("digits", config, no_bar, root / "cache")
    words = ("encoder=simplecnn", "embedding_dim=16")
    cells = plan_cells(["arcface"], {"digits": collection}, config, words, "cpu")
    place = Workplace(root, torch.device("cpu"), 1, no_bar, lambda line: None)
    (record,) = run_cells(cells, place)
    assert record.status == "done", record.result.reason
    return record.folder, chosen_data(collection, config.settings, root / "cache")


@pytest.fixture
def run(digits: tuple[Path, Dataset]) -> TrainedRun:
    return open_run(digits[0], torch.device("cpu"))
