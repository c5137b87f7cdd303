"""A run on scikit-learn's digits, in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bench.config import Config, Settings
from bench.contract import Workplace
from bench.runs.run_plan import load_collection, plan_cells, run_cells
from bench.runs.store import RunRecord


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., RunRecord]:
    """Return a function that runs a method on digits and gives its record."""
    cache = tmp_path_factory.mktemp("cache")

    def bar(items: object, *, total: int, what: str) -> object:
        return items

    def run(method: str, root: Path, words: tuple[str, ...] = (), **settings: object) -> RunRecord:
        config = Config(Settings(**settings))  # type: ignore[arg-type]  # checked by Settings itself
        data = {"digits": load_collection("digits", config, bar, cache)}  # type: ignore[arg-type]  # a bar that does nothing
        cells = plan_cells([method], data, config, words, "cpu")
        place = Workplace(root, torch.device("cpu"), 1, bar, lambda line: None)  # type: ignore[arg-type]  # as above
        (record,) = run_cells(cells, place)
        return record

    return run
