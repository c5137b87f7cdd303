"""Every command of the README runs, and the README stays short.

A block of commands runs in its order in an empty folder with a home of its own. What would take long or needs the
network runs with a stand-in, all of them named in ``SHORT``: fewer images, epochs, methods or seeds; scikit-learn's
digits for FashionMNIST; ``serve``, which runs until it is stopped, says only its help (tests/serve starts it). The
targets of ``make`` are looked up: .ci/run makes them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_commands import FEW, StandIns, blocks, commands, make_home, shortened
from programs import run_simbench

import bench

pytestmark = pytest.mark.slow

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
COMMANDS, PYTHON = blocks(README, "console"), blocks(README, "python")
SHORT: StandIns = {  # a command's beginning: what is replaced in it, and what is added
    "run -m '*'": ({"'*'": "pixels", "fashionmnist": "digits", "0,1,2": "0"}, FEW),
    "run -m arcface -o": ({"5m": "1s"}, "--limit 100 --threads 1 --phases 1"),
    "run": ({}, FEW),
    "report": ({}, "--no-images"),
    "bench": ({}, "--set suite.quick.methods=pixels --set suite.quick.datasets=digits --set suite.quick.limit=100"),
    "search shoe.jpg --gallery": ({}, "-m pixels"),
    "search": ({"RUN": "runs/pictures/holdout/arcface"}, ""),
    "choose": ({}, "--labels none --threads 1"),
    "serve": ({}, "--help"),
    "tune": ({"20": "1", "--epochs 2": "--epochs 0.005"}, "--limit 100 --threads 1"),
    "fetch": ({}, "" if Path("/usr/share/datasets/fashion-mnist").is_dir() else "--help"),
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_home(tmp_path, monkeypatch)
    return tmp_path


def test_the_readme_has_at_most_900_words_140_lines_one_picture_and_one_table() -> None:
    assert len(README.split()) <= 900
    assert len(README.splitlines()) <= 140
    assert README.count("![") == 1
    assert len(re.findall(r"^\|-", README, re.MULTILINE)) == 1


def test_every_make_target_of_the_readme_is_one_that_make_help_lists(checkout: Path) -> None:
    named = set(re.findall(r"(?:^\$ |`)make ([a-z-]+)", README, re.MULTILINE))
    listed = set(re.findall(r"^([a-z-]+):.*## ", (checkout / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {"demo", "test"} <= named
    assert named <= listed
    assert "make test" in (checkout / ".ci" / "run").read_text(encoding="utf-8")


def test_every_extra_that_the_readme_installs_is_one_that_the_package_has(checkout: Path) -> None:
    named = set(re.findall(r"pip install -e '\.\[(\w+)\]'", README))
    assert named
    assert all(f"\n{extra} = [" in (checkout / "pyproject.toml").read_text(encoding="utf-8") for extra in named)


@pytest.mark.parametrize("block", [text for text in COMMANDS if "make" not in text and "colour" not in text])
def test_the_commands_of_a_block_run_in_their_order(block: str, home: Path) -> None:
    if "tune" in block:
        pytest.importorskip("optuna")
    for command in commands(block):
        assert command.startswith("simbench ")
        done = run_simbench(shortened(command, SHORT), home, {"OMP_NUM_THREADS": "1"})
        assert done.returncode == 0, (command, done.stderr)
    assert "found.png" not in block or (home / "found.png").is_file()


def test_the_python_example_runs(home: Path) -> None:
    (example,) = [text for text in PYTHON if "bench.run" in text]
    query = bench.load("digits", limit=100).query
    names: dict[str, Any] = {"pixels": query.images.take(slice(None)), "labels": query.labels}
    names["gallery_labels"] = query.labels
    names["gallery"] = np.random.default_rng(0).normal(size=(len(query.labels), 128)).astype(np.float32)
    short = example.replace('"fashionmnist"', '"digits", limit=100, threads=1').replace("epochs=5", "epochs=0.005")
    assert short.count("digits") == 1
    exec(short, names)
    assert names["vectors"].shape == (len(query.labels), 128)


def test_the_whole_file_of_a_method_passes_the_check_and_runs(home: Path, checkout: Path) -> None:
    (whole,) = [text for text in PYTHON if "@method" in text]
    (block,) = [text for text in COMMANDS if "colour" in text]
    assert whole in (checkout / "docs" / "guides" / "adding-a-method.md").read_text(encoding="utf-8")
    (home / "colour.py").write_text(whole, encoding="utf-8")
    # As a package brings it; methods/ of this checkout stays as it is.
    (home / "colour-1.dist-info").mkdir()
    (home / "colour-1.dist-info" / "METADATA").write_text("Name: colour\nVersion: 1\n")
    (home / "colour-1.dist-info" / "entry_points.txt").write_text("[simbench.methods]\ncolour = colour\n")
    for command in commands(block):
        done = run_simbench(shortened(command, SHORT), home, {"PYTHONPATH": str(home)})
        assert done.returncode == 0, (command, done.stderr)
