"""The script that measures a GPU runs every row of its table on a CPU, on sizes that measure nothing."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest
import torch

SCRIPTS = Path(__file__).parent / "speed"


def test_every_row_is_made_on_the_cpu_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))  # the scripts import each other
    script = runpy.run_path(str(SCRIPTS / "gpu.py"))
    card = sys.modules["card"].Card(torch.device("cpu"))
    table = script["rows"](card, script["TINY"], 10.0)
    parts = [row[0].partition(",")[0] for row in table]
    assert sorted(set(parts)) == ["JPEG files", "evaluation", "pretrained", "training"]
    assert all(float(row[-1]) > 0 for row in table)
    text = script["page"](table, card)
    assert all(row[0] in text for row in table)


def test_what_the_minutes_did_not_reach_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    script = runpy.run_path(str(SCRIPTS / "gpu.py"))
    table = script["rows"](sys.modules["card"].Card(torch.device("cpu")), script["TINY"], 0.0)
    assert len(table) == 2
    assert "what follows is missing" in table[-1]
