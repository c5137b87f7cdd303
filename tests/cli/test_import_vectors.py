"""``simbench import`` of vectors: the row that their own run has, whatever file they came in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bench.runs.costs  # noqa: F401 - so that its timing is shortened

pytest.importorskip("pyarrow")

DATA = ("-d", "digits", "--limit", "200", "--threads", "1", "-q")


def told(folder: Path, name: str) -> dict[str, Any]:
    """Return the run.json of the only run of a method."""
    (path,) = folder.glob(f"runs/digits/*/{name}/*/seed0/run.json")
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """The vectors that the method ``pixels`` gives all digits, in another order, with their ids."""
    from sklearn.datasets import load_digits

    images = load_digits().images
    bytes_ = np.round(images * 255 / 16).astype(np.uint8)  # as the loader has them
    vectors = bytes_.reshape(len(images), -1).astype(np.float32) / 255 + np.float32(1e-6)
    order = np.random.default_rng(0).permutation(len(images))
    path = tmp_path / "raw.npz"
    np.savez(path, vectors=vectors[order], id=np.array([f"{row:04d}" for row in order]))
    return path


def test_vectors_get_all_that_the_run_which_made_them_has(simbench: Callable[..., Any], raw: Path) -> None:
    for words in (
        ("run", "-m", "pixels", *DATA),
        ("import", str(raw), "--name", "theirs", *DATA),
        ("export", "runs/digits/holdout/pixels", "--to", "parquet", "-o", "vectors.parquet"),
        ("import", "vectors.parquet", "--name", "back", *DATA),
    ):
        done = simbench(*words)
        assert done.code == 0, done.err
    assert "are without a vector: no thresholds are fitted" in done.err
    own, ours, back = (told(raw.parent, name) for name in ("pixels", "theirs", "back"))
    assert ours["scores"] == pytest.approx(own["scores"], abs=1e-6)
    assert back["scores"] == pytest.approx(own["scores"], abs=1e-6)
    assert back["thresholds"] is None
    for kind in ("ci95", "ci95_other_classes"):
        for metric, ends in own[kind].items():
            assert ours[kind][metric] == pytest.approx(ends, abs=1e-6), metric
    assert [one["name"] for one in ours["controls"]] == [one["name"] for one in own["controls"]]
    assert ours["thresholds"]["validation"]["eer"] == pytest.approx(own["thresholds"]["validation"]["eer"], abs=1e-6)
    assert ours["thresholds"]["validation"]["images"] == own["thresholds"]["validation"]["images"] > 0


def test_what_nobody_measured_is_a_dash_and_not_nought(simbench: Callable[..., Any], raw: Path) -> None:
    done = simbench("import", str(raw), "--name", "theirs", *DATA)
    (line,) = (line for line in done.out.splitlines() if line.startswith("|") and "theirs" in line)
    assert [cell.strip() for cell in line.strip("|").split("|")][4:] == ["-", "256", "-"]
    ours = told(raw.parent, "theirs")
    assert (ours["latency"], ours["load"], ours["pictures_timed"], ours["has_weights"]) == ({}, None, "", False)
    assert "fit_seconds" not in ours["timings"]
    assert "what their model learnt from is not known" in done.out


def test_tables_tests_and_searches_take_such_a_run_or_say_why_not(simbench: Callable[..., Any], raw: Path) -> None:
    kept = np.load(raw)
    noise = kept["vectors"] + np.random.default_rng(0).normal(0, 1, kept["vectors"].shape).astype(np.float32)
    np.savez(raw.parent / "noisy.npz", v=noise, id=kept["id"])
    for file, name in (("raw.npz", "ours"), ("noisy.npz", "theirs")):
        assert simbench("import", file, "--name", name, *DATA).code == 0
    compared = simbench("compare", "ours", "theirs")
    assert (compared.code, "ours is better than theirs" in compared.out) == (0, True), compared
    board = (raw.parent / "runs/report/leaderboard.md").read_text("utf-8")
    assert board.index("| ours") < board.index("| theirs")
    (raw.parent / "picture.png").write_bytes(b"no picture, and none is needed")
    for words in (("search", "picture.png", "--run"), ("decode", "--run"), ("export", "-o", "winner")):
        done = simbench(*words, "runs/digits/holdout/ours")
        assert (done.code, "made elsewhere; there is no model" in done.err) == (1, True), done.err


def test_mistakes_of_vectors_are_told_in_one_line(simbench: Callable[..., Any], raw: Path) -> None:
    kept = np.load(raw)
    vectors, ids = kept["vectors"], kept["id"]
    np.save(raw.parent / "alone.npy", vectors)
    np.savez(raw.parent / "few.npz", v=vectors[:9], id=ids[:9])
    (raw.parent / "model.onnx").write_bytes(b"no model")
    for words, code, said in (
        (("alone.npy", *DATA), 2, "no ids in it, and no alone.csv and no alone.txt beside it"),
        (("few.npz", *DATA), 1, "ids of queries and gallery (the first"),
        (("gone.npz", *DATA), 1, "no such file"),
        (("raw.npz",), 2, "Missing option '-d'"),
        (("raw.npz", *DATA, "--epochs", "2"), 2, "No such option '--epochs'"),
        (("raw.npz", *DATA, "--name", "pixels"), 2, "there is a method of this name"),
        (("raw.npz", *DATA, "--rank-by", "map@7"), 2, "add -k 1 -k 7"),
        (("model.onnx", *DATA, "--ids", "raw.npz"), 2, "--ids is for vectors"),
        ((".", *DATA), 2, "no folder of timm's"),
    ):
        done = simbench("import", *words)
        assert (done.code, said in done.err, "Traceback" in done.err) == (code, True, False), (words, done.err)
    assert list(raw.parent.rglob("run.json")) == []
    assert not (raw.parent / "imported").exists()
