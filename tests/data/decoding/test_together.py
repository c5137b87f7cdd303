"""JPEG files decoded many at once: the pictures that Pillow gives but for rounding, and other entries of the cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.config import Config, Settings
from bench.contract import DataPlace, ResizeMode, UsageError, no_progress
from bench.data.decoding.decode import DecodeRecipe, decode_files
from bench.data.decoding.decode_image import ORIENTATION
from bench.runs.run_plan import chosen_data, data_choices, data_place, load_collection

decoders = pytest.importorskip("torchcodec.decoders")

SIZES = [(64, 48), (48, 64), (90, 70), (33, 33)]  # width, height


def picture(number: int, size: tuple[int, int], mode: str = "RGB") -> Image.Image:
    """A smooth picture, so that two ways of resizing it agree."""
    y, x = np.mgrid[: size[1], : size[0]]
    bands = [127 + 120 * np.sin(x / 9 + number + band) * np.cos(y / 11) for band in range(3)]
    return Image.fromarray(np.stack(bands, axis=-1).astype(np.uint8)).convert(mode)


def saved(path: Path, image: Image.Image, orientation: int = 1) -> Path:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    image.save(path, "JPEG" if path.suffix == ".jpg" else None, quality=95, exif=exif)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> list[Path]:
    """Plain JPEG files; one on its side, one in CMYK, a PNG; one cut off, one that is none."""
    files = [saved(tmp_path / f"{n}.jpg", picture(n, size)) for n, size in enumerate(SIZES)]
    files.append(saved(tmp_path / "grey.jpg", picture(5, (40, 60), "L")))
    files.append(saved(tmp_path / "side.jpg", picture(6, (60, 40)), orientation=6))
    files.append(saved(tmp_path / "print.jpg", picture(7, (50, 50), "CMYK")))
    files.append(saved(tmp_path / "drawn.png", picture(8, (70, 50))))
    (tmp_path / "cut.jpg").write_bytes(files[0].read_bytes()[:900])
    (tmp_path / "none.jpg").write_bytes(b"no picture")
    return [*files, tmp_path / "cut.jpg", tmp_path / "none.jpg"]


def place(cache: Path, decoder: str) -> DataPlace:
    return DataPlace(None, cache, broken="any", decoder=decoder)  # type: ignore[arg-type]  # a text of the test's


@pytest.mark.parametrize("resize", ["crop", "pad", "stretch"])
def test_pictures_are_pillows_but_for_rounding_and_the_same_files_are_broken(
    folder: list[Path], tmp_path: Path, resize: ResizeMode
) -> None:
    recipe = DecodeRecipe(size=(32, 24), resize=resize)
    made = [decode_files(folder, place(tmp_path / "c", decoder), recipe) for decoder in ("pillow", "torchcodec")]
    usual, other = made
    assert other.broken == usual.broken
    assert set(other.broken) == {8, 9}
    np.testing.assert_array_equal(other.contents, usual.contents)
    apart = np.abs(other.pixels.astype(int) - usual.pixels.astype(int)).mean(axis=(1, 2, 3))
    assert apart.max() < (8 if resize == "crop" else 2), apart  # it is cut to half a pixel; of 24 that is much here
    assert apart[5:8].max() == 0, "these are Pillow's own"


def test_what_one_decoder_made_is_not_taken_for_the_others(folder: list[Path], tmp_path: Path) -> None:
    recipe, cache = DecodeRecipe(size=(32, 24)), tmp_path / "c"
    made = [decode_files(folder, place(cache, decoder), recipe) for decoder in ("pillow", "torchcodec", "torchcodec")]
    assert len(list((cache / "decoded" / "by-files").iterdir())) == 2
    assert not np.array_equal(made[0].pixels, made[1].pixels)
    np.testing.assert_array_equal(made[1].pixels, made[2].pixels)


@pytest.mark.parametrize(("mode", "channels"), [("RGB", 3), ("L", 1)])
def test_files_of_one_small_size_keep_it_to_the_last_byte(tmp_path: Path, mode: str, channels: int) -> None:
    files = [saved(tmp_path / f"{n}.jpg", picture(n, (28, 20), mode)) for n in range(5)]
    usual, other = (decode_files(files, place(tmp_path / "c", one), DecodeRecipe()) for one in ("pillow", "torchcodec"))
    assert other.pixels.shape == (5, 20, 28, channels)
    np.testing.assert_array_equal(other.pixels, usual.pixels)


def test_a_file_of_another_size_or_colour_is_noticed(tmp_path: Path) -> None:
    files = [saved(tmp_path / f"{n:02}.jpg", picture(n, (28, 20), "L")) for n in range(40)]
    saved(files[35], picture(1, (30, 20)))  # none of those that the shape is guessed from
    found = decode_files(files, place(tmp_path / "c", "torchcodec"), DecodeRecipe())
    assert found.pixels.shape == (40, 64, 64, 3)


def test_one_refused_file_costs_the_others_nothing(
    folder: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    decode = decoders.decode_jpeg

    def counted(files: list[bytes], **how: str) -> object:
        calls.append(len(files))
        return decode(files, **how)

    monkeypatch.setattr(decoders, "decode_jpeg", counted)
    decode_files(folder, place(tmp_path / "c", "torchcodec"), DecodeRecipe(size=(32, 24)))
    assert calls[0] == 6  # four, the grey one and the one cut off
    assert len(calls) <= 7, "halves, and halves of those"


def test_it_is_a_choice_of_the_data_that_runs_and_their_keys_know(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for number in range(6):
            saved(tmp_path / "set" / name / f"{number}.jpg", picture(number, (70, 80)))
    config = Config(Settings(decoder="torchcodec", device="cpu"))
    assert data_choices(config.settings) == {"decoder": "torchcodec"}
    assert data_choices(Settings()) == {}
    data = chosen_data(
        load_collection(str(tmp_path / "set"), config, no_progress, tmp_path / "c"), config.settings, tmp_path / "c"
    )
    assert data.query.images.shape.height == 64
    entries = (tmp_path / "c").glob("decoded/*/entry.json")
    assert any('"decoder": "torchcodec' in path.read_text("utf-8") for path in entries)


def test_a_missing_package_is_told_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "torchcodec", None)
    with pytest.raises(UsageError, match=r"decoder=torchcodec needs the package torchcodec: pip install"):
        data_place(Settings(decoder="torchcodec"), no_progress, tmp_path)
