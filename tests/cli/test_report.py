"""``simbench report`` as a user calls it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def one_run(simbench: Callable[..., Any], pictures: Path) -> None:
    assert simbench("run", "-m", "pixels", "-d", str(pictures), "--protocol", "loo", "--image-size", "12").code == 0


@pytest.mark.usefixtures("one_run")
def test_own_pictures_are_found_or_missed_with_a_reason(simbench: Callable[..., Any], pictures: Path) -> None:
    moved = pictures.rename(pictures.with_name("moved"))
    without = simbench("report")
    assert without.code == 0
    assert without.out.startswith("report: runs/report/report.html (0.")
    assert "pictures of queries and neighbours are left out" in without.err
    assert not Path("runs/report/figures").exists()
    named = simbench("report", "--images", f"pictures={moved}", "--figures")
    assert named.code == 0
    assert "left out" not in named.err
    page = Path("runs/report/report.html").read_text(encoding="utf-8")
    assert "data:image/webp" in page
    assert str(pictures.parent) not in page  # a page is published, folders are private
    assert list(Path("runs/report/figures").glob("pictures-loo-pixels-*-map.svg"))


@pytest.mark.usefixtures("one_run")
def test_the_images_need_not_be_looked_for(simbench: Callable[..., Any]) -> None:
    done = simbench("report", "--no-images", "--report-dir", "elsewhere", "-q")
    assert done.code == 0
    assert done.err == ""
    assert "as asked" in Path("elsewhere/report.html").read_text(encoding="utf-8")


def test_no_runs_and_a_wrong_word_are_one_clear_line_each(simbench: Callable[..., Any]) -> None:
    nothing = simbench("report")
    assert nothing.code == 2
    assert nothing.err.startswith("simbench: no runs in runs (no such folder); start with: simbench run")
    wrong = simbench("report", "--images", "pictures")
    assert wrong.code == 2
    assert "--images takes NAME=PATH" in wrong.err
