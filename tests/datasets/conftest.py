"""A place to load data sets from, without a network."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.contract import DataPlace


@pytest.fixture
def place(tmp_path: Path) -> DataPlace:
    return DataPlace(root=tmp_path / "root", cache=tmp_path / "cache", download=False)
