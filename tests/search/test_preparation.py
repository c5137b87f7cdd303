"""Any picture becomes what the run's data set would have made of it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.contract import DataError, DataPlace, ImageShape
from bench.data.decoding.decode import DecodeRecipe, decode_files
from bench.data.decoding.image_source import UnreadableImageError
from bench.search.preparation import Preparation

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (37, 51, 3), dtype=np.uint8)


@pytest.mark.parametrize("resize", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("kind", ["photo.jpg", "photo.png", "grey.png"])
def test_a_file_gives_the_pixels_that_a_data_set_of_such_files_has(tmp_path: Path, resize: str, kind: str) -> None:
    path, partner = tmp_path / kind, tmp_path / "partner.png"
    image = Image.fromarray(PHOTO)
    (image.convert("L") if kind.startswith("grey") else image).save(path)
    image.save(partner)  # a colour picture beside it makes the data set one of colour
    recipe = DecodeRecipe((24, 16), resize)  # type: ignore[arg-type]  # parametrized
    decoded = decode_files([path, partner], DataPlace(root=None, cache=tmp_path / "cache"), recipe)
    found = Preparation(ImageShape(24, 16, 3), resize).file(path)  # type: ignore[arg-type]  # parametrized
    assert np.array_equal(found, decoded.pixels[0])


def test_colour_becomes_luminance_where_the_run_is_grey() -> None:
    found = Preparation(ImageShape(37, 51, 1)).array(PHOTO)
    luminance = PHOTO @ np.array([0.299, 0.587, 0.114])
    assert found.shape == (37, 51, 1)
    assert np.abs(found[..., 0] - luminance).max() <= 1


def test_file_image_and_array_agree(tmp_path: Path) -> None:
    prepared = Preparation(ImageShape(16, 16, 3))
    path = tmp_path / "a.png"
    Image.fromarray(PHOTO).save(path)
    expected = prepared.file(path)
    assert np.array_equal(prepared.image(Image.fromarray(PHOTO)), expected)
    assert np.array_equal(prepared.array(PHOTO), expected)
    grey = PHOTO[..., :1]
    assert np.array_equal(prepared.array(grey), prepared.array(grey[..., 0]))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_every_common_mode_of_pillow_is_taken(mode: str) -> None:
    image = Image.new("I;16", (20, 10)) if mode == "I;16" else Image.fromarray(PHOTO).convert(mode)
    assert Preparation(ImageShape(8, 8, 3)).image(image).shape == (8, 8, 3)


def test_an_image_that_lies_on_its_side_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    through = io.BytesIO()
    Image.fromarray(PHOTO).save(through, "PNG", exif=exif)
    found = Preparation(ImageShape(51, 37, 3)).image(Image.open(through))
    assert np.array_equal(found, np.rot90(PHOTO, -1))


@pytest.mark.parametrize("shape", [(4,), (4, 4, 2), (1, 4, 4, 3)])
def test_arrays_that_are_no_image_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="an image is uint8"):
        Preparation(ImageShape(8, 8, 3)).array(np.zeros(shape, np.uint8))
    with pytest.raises(DataError, match="float64"):
        Preparation(ImageShape(8, 8, 3)).array(np.zeros((4, 4)))  # type: ignore[arg-type]  # on purpose


def test_what_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 37 * 51 - 1)
    limit = pytest.raises(UnreadableImageError, match="above Pillow's limit")
    with pytest.warns(Image.DecompressionBombWarning), limit:
        Preparation(ImageShape(8, 8, 3)).array(PHOTO)
