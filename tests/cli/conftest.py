"""The command line as a user calls it, in this process where only its words matter, as a program where more does."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from programs import run_simbench

import bench.cli


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture
def simbench(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Outcome]:
    """Call ``simbench WORDS...`` in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["simbench", *words])
        with pytest.raises(SystemExit) as ended:
            bench.cli.main()
        out, err = capfd.readouterr()
        return Outcome(int(ended.value.code or 0), out, err)

    return call


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., Outcome]:
    """Run ``simbench WORDS...`` as a program of its own, in an empty folder."""

    def call(*words: str, **env: str) -> Outcome:
        done = run_simbench(words, tmp_path, env)
        return Outcome(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of two classes of small grey pictures that any method can tell apart."""
    rng = np.random.default_rng(0)
    for name, low in (("dark", 0), ("light", 120)):
        folder = tmp_path / "pictures" / name
        folder.mkdir(parents=True)
        for number in range(20):
            pixels = rng.integers(low, low + 120, (12, 12), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "pictures"
