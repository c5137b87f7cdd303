"""A place to load data sets from, without a network; and what several published formats are written with."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.contract import DataPlace


@pytest.fixture
def place(tmp_path: Path) -> DataPlace:
    (tmp_path / "root").mkdir()
    return DataPlace(root=tmp_path / "root", cache=tmp_path / "cache", download=False)


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test reads or writes the user's copies of Hugging Face's files."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf-home"))


@pytest.fixture
def md5() -> Callable[[bytes], str]:
    return lambda content: hashlib.md5(content).hexdigest()


@pytest.fixture
def png() -> Callable[[int], bytes]:
    """Return a colour 8x8 PNG of one shade."""

    def paint(shade: int) -> bytes:
        written = io.BytesIO()
        Image.fromarray(np.full((8, 8, 3), shade, np.uint8)).save(written, "PNG")
        return written.getvalue()

    return paint
