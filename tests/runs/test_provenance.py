"""Words for devices."""

from __future__ import annotations

import pytest
import torch

from bench.contract import UsageError
from bench.runs.provenance import choose_device


def test_auto_is_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for there, kind in ((False, "cpu"), (True, "cuda")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
        assert choose_device("auto").type == kind


@pytest.mark.parametrize("word", ["cpu:x", "cuda:", "gpu", "cuda:2", "mps"])
def test_a_device_that_is_not_there_is_told_before_anything_runs(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(UsageError, match=r"unknown device|not available"):
        choose_device(word)
