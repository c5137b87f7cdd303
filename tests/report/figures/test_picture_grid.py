"""Pictures in rows: where each lies, and how it is framed."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from bench.contract import DataError, Images, Split, UsageError
from bench.report.figures.picture_grid import SIDE, Tile, draw_grid, pictures_in, pictures_of, thumbnail

RED, GREEN, GREY = (205, 40, 45), (18, 140, 70), (60, 60, 60)


def solid(value: int) -> np.ndarray:
    return np.full((4, 4, 1), value, np.uint8)


def test_every_tile_is_in_its_place_with_its_frame() -> None:
    rows = [
        [Tile(solid(10), ("q",), "query"), Tile(solid(20), ("a",), "right"), Tile(solid(30), ("b",), "wrong")],
        [Tile(solid(40), ("q",), "query"), Tile(solid(50), ("c",), "none")],
    ]
    sheet = np.asarray(Image.open(io.BytesIO(draw_grid(rows))))
    down = [8 + row * (SIDE + 8 + 15 + 8) for row in (0, 1)]
    right = [8, 8 + SIDE + 8 + 8 + 16, 8 + 2 * (SIDE + 8 + 8) + 16]
    middle = 4 + SIDE // 2
    inside = [[sheet[y + middle, x + middle, 0] for x in right] for y in down]
    assert inside == [[10, 20, 30], [40, 50, 255]]
    frames = [[tuple(sheet[y + 1, x + middle].tolist()) for x in right] for y in down]
    assert frames == [[GREY, GREEN, RED], [GREY, (255, 255, 255), (255, 255, 255)]]


def test_captions_of_any_length_and_script_are_drawn() -> None:
    captions = ("a very long name of a file in a folder.jpg", "猫 🐈 é")
    assert draw_grid([[Tile(solid(0), captions)]]).startswith(b"\x89PNG")


@pytest.mark.parametrize("shape", [(1, 1, 1), (28, 28, 1), (3, 500, 3), (500, 3, 3), (400, 300, 3)])
def test_a_thumbnail_of_any_shape_fits_its_tile(shape: tuple[int, int, int]) -> None:
    found = thumbnail(np.zeros(shape, np.uint8))
    assert found.size == (SIDE, SIDE)
    assert found.getextrema() == ((0, 236),) * 3 if shape[0] != shape[1] else ((0, 0),) * 3


def test_nothing_and_too_much_are_refused() -> None:
    with pytest.raises(DataError, match="no picture to draw"):
        draw_grid([])
    with pytest.raises(DataError, match="no picture to draw"):
        draw_grid([[]])
    with pytest.raises(DataError, match="too many for one PNG"):
        draw_grid([[Tile(solid(0))] * 100] * 100)


def test_pictures_are_found_by_name(tmp_path) -> None:  # type: ignore[no-untyped-def]
    pixels = np.arange(3 * 16, dtype=np.uint8).reshape(3, 4, 4, 1)
    split = Split(Images(pixels), np.zeros(3, np.int64), np.array(["a", "b", "c"]))
    assert np.array_equal(pictures_of(split)("b"), pixels[1])
    with pytest.raises(UsageError, match="'d'"):
        pictures_of(split)("d")
    Image.new("RGB", (40, 20), "blue").save(tmp_path / "x.png")
    look = pictures_in(tmp_path)
    assert look("x.png")[SIDE // 2, SIDE // 2].tolist() == [0, 0, 255]
    assert (look("gone.png") == 128).all()
