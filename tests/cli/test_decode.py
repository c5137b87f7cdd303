"""``simbench decode``: class means, walks, files and vectors as pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

_STEP = 112 + 2 * 4 + 8  # pixels from one picture to the next


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("decode") / "runs"


@pytest.fixture
def run(simbench: Callable[..., Any], runs: Path) -> Path:
    """An arcface run on a few digits, made for the first test that asks for it."""
    if runs.exists():
        return next(runs.glob("digits/holdout/arcface/*/seed0"))
    small = ("--limit", "120", "--epochs", "0.03", "-o", "encoder=simplecnn", "-o", "embedding_dim=8")
    done = simbench("run", "-m", "arcface", *small, "--threads", "1", "-q", "--runs", str(runs))
    assert done.code == 0, done.err
    (folder,) = runs.glob("digits/holdout/arcface/*/seed0")
    return Path(folder)


def columns(picture: Path) -> int:
    return (Image.open(picture).width - 8) // _STEP


def test_every_kind_of_embedding_is_drawn(simbench: Callable[..., Any], run: Path, tmp_path: Path) -> None:
    where = ("--run", str(run))
    done = simbench("decode", *where)
    assert done.code == 0, done.err
    assert "picture: decoded.png (10 pictures)" in done.out
    assert columns(tmp_path / "decoded.png") == 10

    with np.load(run / "per_query.npz") as kept:
        first, last = kept["gallery_ids"][[0, -1]].tolist()
    Image.new("RGB", (50, 20), "white").save("photo.png")
    words = ("--walk", first, last, "--walk", "photo.png", first, "--steps", "5", "--save", "walk.png")
    done = simbench("decode", *where, *words)
    assert "walk.png (10 pictures)" in done.out, done.err
    assert columns(tmp_path / "walk.png") == 5

    assert "(2 pictures)" in simbench("decode", *where, "--image", "photo.png").out
    np.save("v.npy", np.random.default_rng(0).normal(size=(3, 8)))
    assert "(3 pictures)" in simbench("decode", *where, "--vector", "v.npy").out
    assert "(13 pictures)" in simbench("decode", *where, "--vector", "v.npy", "--classes").out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--walk", "nothing", "photo.png"), 2, "'nothing' is neither a file nor an id"),
        (("--walk", "photo.png", "photo.png", "--steps", "1"), 2, "1 is not in the range"),
        (("--image", "text.png"), 1, "text.png: cannot be read (not an image of a known format)"),
        (("--vector", "text.png"), 1, "no .npy file of plain numbers"),
        (("--vector", "short.npy"), 1, "expected numbers (8,) or (n, 8), got float64 (1, 7)"),
        (("--vector", "zero.npy"), 1, "zero.npy"),
        (("--vector", "many.npy"), 1, "1,001 vectors"),
    ],
)
def test_a_mistake_is_told_in_one_line(
    simbench: Callable[..., Any], run: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    Image.new("L", (8, 8), 200).save("photo.png")
    Path("text.png").write_text("no picture")
    np.save("short.npy", np.ones(7))
    np.save("zero.npy", np.zeros((2, 8)))
    np.save("many.npy", np.ones((1001, 8)))
    done = simbench("decode", "--run", str(run), *words)
    assert done.code == code, done.err
    assert said in done.err
    assert "Traceback" not in done.err
    assert not Path("decoded.png").exists()


def test_a_run_without_a_decoder_says_which_have_one(simbench: Callable[..., Any]) -> None:
    assert simbench("run", "-m", "pca", "--limit", "60", "--threads", "1", "-q").code == 0
    done = simbench("decode", "--run", "runs")
    assert done.code == 2
    assert "this run of pca has no decoder; runs with a decode_cosine" in done.err
