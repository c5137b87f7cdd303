"""``simbench search``: from a picture's file to its neighbours, in words, as JSON and as a picture."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_runs import change_run, record_in
from PIL import Image
from pixel_runs import copy_of_pixels
from sklearn.datasets import load_digits

from bench.contract import Point


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("search") / "runs"


@pytest.fixture
def run(simbench: Callable[..., Any], runs: Path, tmp_path: Path) -> Path:
    return copy_of_pixels(simbench, runs, tmp_path, "--limit", "200")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Thirty digits as files, one folder a class."""
    digits = load_digits()
    for number, (pixels, label) in enumerate(zip(digits.images[:30], digits.target[:30], strict=True)):
        path = tmp_path / "own" / str(label) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels * 15).astype("uint8")).save(path)
    return tmp_path / "own"


def test_own_pictures_are_searched_kept_and_drawn(
    simbench: Callable[..., Any], run: Path, own: Path, tmp_path: Path
) -> None:
    words = ("search", str(own / "3" / "3.png"), "--run", str(run), "--gallery", str(own), "-k", "4")
    done = simbench(*words, "--save", "found.png")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert "30 searched in" in lines[0]
    assert "[3]" in lines[0]
    assert [line.split()[0] for line in lines[1:5]] == ["1", "2", "3", "4"]
    assert "3/3.png" not in "".join(lines[1:5])
    assert "0 kept, 30 new, 0 changed, 0 gone; 30 embedded" in done.err
    assert Image.open(tmp_path / "found.png").format == "PNG"

    shutil.copy(own / "3" / "3.png", own / "copy.png")
    (own / "0" / "0.png").unlink()
    again = simbench(*words, "--json", "-q")
    (found,) = json.loads(again.out)
    assert found["label"] == "3"
    assert found["hits"][0] == {"rank": 1, "similarity": pytest.approx(1), "label": None, "name": "copy.png"}
    assert found["search_ms"] > 0
    told = simbench(*words)
    assert "added" not in told.err


def test_the_runs_own_gallery_is_searched_and_drawn_with_its_images(
    simbench: Callable[..., Any], run: Path, own: Path, tmp_path: Path
) -> None:
    done = simbench(
        "search", str(own / "3"), str(own / "5" / "5.png"), "--run", "runs", "--json", "--save", "found.png"
    )
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert [Path(one["query"]).parent.name for one in found[-1:]] == ["5"]
    assert all(len(one["hits"]) == 8 and one["label"] in ("3", "5") for one in found)
    with Image.open(io.BytesIO((tmp_path / "found.png").read_bytes())) as sheet:
        assert sheet.height > 150 * len(found)


def test_what_cannot_be_read_is_told_and_the_rest_is_answered(
    simbench: Callable[..., Any], run: Path, own: Path
) -> None:
    (own / "5" / "broken.jpg").write_text("no picture")
    done = simbench("search", str(own / "5"), "--run", str(run), "--json", "-q")
    assert done.code == 1
    assert "broken.jpg: cannot be read (not an image of a known format)" in done.err
    assert len(json.loads(done.out)) == 3


@pytest.mark.usefixtures("run", "own")
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("nowhere.png",), 2, "nowhere.png: no such file or folder"),
        (("runs",), 2, "no pictures in it"),
        (("own/3/3.png", "--gallery", "nowhere"), 1, "nowhere: no such folder"),
        (("own/3/3.png", "-k", "0"), 2, "0 is not in the range"),
        (("own/3/3.png", "--save", "x.png", "-d", "own"), 1, "not the images that"),
        (("own/3/3.png", "--device", "gpu"), 2, "unknown device 'gpu'"),
        (("own/3/3.png", "--save", "x.gif"), 2, "what was found is drawn as .png, got .gif"),
        (("own/3/3.png", "--jobs", "2"), 2, "--jobs embeds a --gallery"),
    ],
)
def test_a_mistake_is_told_in_one_line(
    simbench: Callable[..., Any], words: tuple[str, ...], code: int, said: str
) -> None:
    done = simbench("search", *words, "--run", "runs")
    assert done.code == code, done.err
    assert said in done.err
    assert "Traceback" not in done.err


def test_a_flat_folder_is_searched_without_a_run(simbench: Callable[..., Any], own: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in own.rglob("*.png"):
        shutil.copy(path, flat)
    words = ("search", str(flat / "3.png"), "--gallery", str(flat), "-m", "pixels", "-k", "3")
    done = simbench(*words, "-o", "center=true", "--save", "found.png")
    assert done.code == 0, done.err
    assert "30 searched in" in done.out
    assert "without labels" in done.err
    assert Image.open(tmp_path / "found.png").format == "PNG"
    again = simbench(*words, "-o", "center=true", "--json")
    (found,) = json.loads(again.out)
    assert len(found["hits"]) == 3
    assert "3.png" not in [hit["name"] for hit in found["hits"]]
    assert "embed" not in again.err


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "nothing to search: give --run DIR"),
        (("-m", "pixels"), "give --gallery DIR"),
        (("--run", "runs", "-m", "pixels"), "not both"),
        (("--gallery", "own", "-m", "arcface"), "arcface needs training: simbench run -m arcface"),
        (("--gallery", "own", "-m", "pixels", "-o", "centre=1"), "no option 'centre'"),
        (("--gallery", "own", "-m", "*"), "takes one method"),
        (("--gallery", "own", "-m", "pixels", "--jobs", "2"), "--jobs embeds with a run"),
    ],
)
def test_what_cannot_be_searched_without_a_run_says_why(
    simbench: Callable[..., Any], words: tuple[str, ...], said: str
) -> None:
    done = simbench("search", "own/3/3.png", *words)
    assert (done.code, said in done.err) == (2, True), done.err


def test_what_is_below_a_threshold_is_hidden_and_the_nearest_is_named(
    simbench: Callable[..., Any], run: Path, own: Path
) -> None:
    words = ("search", str(own / "3" / "3.png"), "--run", str(run), "--gallery", str(own), "-k", "5")
    (whole,) = json.loads(simbench(*words, "--json").out)
    assert whole["threshold"] is None
    assert whole["nearest"] == whole["hits"][0]
    middle = whole["hits"][2]["similarity"]
    (some,) = json.loads(simbench(*words, "--json", "--threshold", repr(middle)).out)
    assert some["hits"] == whole["hits"][:3]
    (none,) = json.loads(simbench(*words, "--json", "--threshold", "1").out)
    assert (none["hits"], none["nearest"], none["threshold"]) == ([], whole["hits"][0], 1)
    told = simbench(*words, "--threshold", "1", "--save", "found.png")
    assert told.code == 0, told.err
    near = whole["nearest"]
    expected = f"nothing similar: none at 1.0000 or above (the nearest is {near['name']} at {near['similarity']:.4f})"
    assert told.out.splitlines()[1].strip() == expected


def test_a_runs_own_threshold_is_its_strictest(simbench: Callable[..., Any], run: Path, own: Path) -> None:
    kept = record_in(run).result.thresholds
    assert kept is not None
    points = (Point(0.1, 0.7, 0.1, 0.2), Point(0.01, 0.875, 0.01, 0.5))  # more than its few validation pairs show
    change_run(run, thresholds=replace(kept, validation=replace(kept.validation, points=points)))
    words = ("search", str(own / "3" / "3.png"), "--run", str(run), "--json", "--threshold")
    (found,) = json.loads(simbench(*words, "auto").out)
    assert found["threshold"] == 0.875
    assert all(hit["similarity"] >= 0.875 for hit in found["hits"])
    change_run(run, thresholds=None)
    refused = simbench(*words, "auto")
    assert (refused.code, "no threshold of its own; give a similarity" in refused.err) == (2, True)
    for wrong in ("2", "nan", "high"):
        assert "expected a similarity from -1 to 1, or auto" in simbench(*words, wrong).err


def test_without_a_run_there_is_no_own_threshold(simbench: Callable[..., Any], own: Path) -> None:
    done = simbench("search", str(own / "3" / "3.png"), "--gallery", str(own), "-m", "pixels", "--threshold", "auto")
    assert (done.code, "--threshold auto is a run's own: give --run" in done.err) == (2, True)
