"""What a fit is given and leaves: classes numbered without gaps, and training curves for TensorBoard."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from bench.contract import Collection, Images, Split, UsageError
from bench.data.splits.protocols import build_dataset
from bench.runs.fitting import FOLDER, MemoryHistory, learnable, require_tensorboard, tensorboard_writer


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


def part(name: str, labels: list[int]) -> Split:
    ids = np.array([f"{name}{number}" for number in range(len(labels))], np.str_)
    return Split(Images(np.zeros((len(labels), 4, 4, 1), np.uint8)), np.array(labels, np.int64), ids)


def test_a_method_is_given_one_number_for_each_class_that_it_is_shown_and_none_for_the_others() -> None:
    # own queries of other classes than those learnt: six classes, of which b, d and f have training images
    learnt, checked, asked = part("t", [1, 1, 5, 5, 3]), part("v", [4, 4, 1]), part("q", [0, 2])
    collection = Collection("toy", tuple("abcdef"), learnt, checked, query=asked, gallery=part("g", [0, 2]))
    train, validation, classes = learnable(build_dataset(collection, "given"))
    assert classes == ("b", "d", "f")
    assert train.labels.tolist() == [0, 0, 2, 2, 1]
    assert validation.labels.tolist() == [3, 3, 0]


def test_parts_that_show_every_class_are_given_as_they_are() -> None:
    learnt = part("train", [0, 1, 2] * 9)
    data = build_dataset(Collection("toy", tuple("abc"), train=learnt, test=part("test", [0, 1, 2] * 5)), "holdout")
    assert learnable(data) == (data.train, data.validation, data.classes)
