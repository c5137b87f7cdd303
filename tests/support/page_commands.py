"""The commands of a documentation page, run in their order with stand-ins for what would take long.

They run in an empty folder that is the home folder too, with pictures of two classes and one to search for.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

FEW = "--epochs 0.005 --limit 100 --threads 1"
StandIns = Mapping[str, tuple[Mapping[str, str], str]]  # a command's beginning: what is replaced in it, what is added


def blocks(page: str, kind: str) -> list[str]:
    """Return a page's blocks of a kind, such as console."""
    return re.findall(rf"^```{kind}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)


def commands(block: str) -> list[str]:
    """Return a block's commands without their comments."""
    return [shlex.join(shlex.split(line.removeprefix("$ "), comments=True)) for line in block.splitlines()]


def shortened(command: str, stand_ins: StandIns) -> list[str]:
    """Return the words behind ``simbench``, by the first stand-in whose beginning they have."""
    words = command.removeprefix("simbench ")
    replaced, added = next((how for start, how in stand_ins.items() if words.startswith(start)), ({}, ""))
    for old, new in replaced.items():
        assert old in words
        words = words.replace(old, new)
    return [os.path.expanduser(word) for word in shlex.split(f"{words} {added}")]


def make_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fill a folder with ``pictures`` of two classes and ``shoe.jpg``, and work and live in it."""
    rng = np.random.default_rng(0)
    for name, low in (("dark", 0), ("light", 120)):
        (folder / "pictures" / name).mkdir(parents=True)
        for number in range(20):
            pixels = rng.integers(low, low + 120, (12, 12), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "pictures" / name / f"{number}.png")
    Image.fromarray(pixels).save(folder / "shoe.jpg")
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    monkeypatch.chdir(folder)
