"""Training curves for TensorBoard: the same numbers as history.csv, and a plain word where the package is missing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from bench.contract import UsageError
from bench.runs.fitting import FOLDER, MemoryHistory, require_tensorboard, tensorboard_writer


def test_every_row_of_the_history_is_a_point_of_each_of_its_curves(tmp_path: Path) -> None:
    with tensorboard_writer(tmp_path) as told:
        history = MemoryHistory(told)
        for epoch in (1, 2, 3):
            row = {"phase": "1-encoder", "epoch": epoch, "step": 100 * epoch, "train_loss": 1 / epoch, "event": "x"}
            history.add(row)
    events = EventAccumulator(str(tmp_path / FOLDER)).Reload()
    points = events.Scalars("1-encoder/train_loss")
    assert [(point.step, round(point.value, 4)) for point in points] == [(100, 1.0), (200, 0.5), (300, 0.3333)]


def test_a_missing_package_is_told_before_anything_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UsageError, match=r"pip install 'simbench-retrieval\[tensorboard\]'"):
        require_tensorboard()
