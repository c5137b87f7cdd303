"""Every mode and format of an image file becomes the same plain pixels."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bench.data.decoding import decode_image
from bench.data.decoding.decode_image import OtherSizeError, decode_picture, read_picture
from bench.data.decoding.image_source import UnreadableImageError


def saved(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)  # type: ignore[arg-type] # a format's own options
    return path


def halves(mode: str, left: object, right: object, size: tuple[int, int] = (8, 8)) -> Image.Image:
    image = Image.new(mode, size, left)  # type: ignore[arg-type] # a colour is a number or a tuple
    image.paste(right, (size[0] // 2, 0, *size))  # type: ignore[arg-type] # likewise
    return image


def one_colour(pixels: NDArray[np.uint8]) -> list[int]:
    assert (pixels == pixels[0, 0]).all()
    return [int(value) for value in pixels[0, 0]]


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "webp", "gif", "ppm", "jpg"])
def test_grey_and_colour_are_told_apart_in_every_format(tmp_path: Path, suffix: str) -> None:
    colour = saved(Image.new("RGB", (8, 8), (200, 30, 60)), tmp_path / f"colour.{suffix}")
    assert read_picture(colour, None, "crop").shape == (8, 8, 3)
    np.testing.assert_allclose(one_colour(read_picture(colour, None, "crop")), [200, 30, 60], atol=3)
    if suffix != "webp":  # it has no grey
        grey = saved(Image.new("L", (8, 8), 77), tmp_path / f"grey.{suffix}")
        assert one_colour(read_picture(grey, None, "crop")) == [77]


@pytest.mark.parametrize(
    ("mode", "clear", "white"),
    [("RGBA", (10, 20, 30, 0), [255, 255, 255]), ("LA", (10, 0), [255])],
)
def test_transparent_pixels_are_white(tmp_path: Path, mode: str, clear: object, white: list[int]) -> None:
    path = saved(Image.new(mode, (4, 4), clear), tmp_path / "clear.png")  # type: ignore[arg-type] # a colour
    assert one_colour(read_picture(path, None, "crop")) == white


def test_half_transparent_pixels_are_halfway_to_white(tmp_path: Path) -> None:
    path = saved(Image.new("RGBA", (4, 4), (0, 0, 200, 128)), tmp_path / "half.png")
    np.testing.assert_allclose(one_colour(read_picture(path, None, "crop")), [127, 127, 227], atol=1)


def test_a_colour_declared_transparent_is_white(tmp_path: Path) -> None:
    path = saved(halves("L", 9, 90), tmp_path / "key.png", transparency=9)
    pixels = read_picture(path, None, "crop")
    assert one_colour(pixels[:, :4]) == [255]
    assert one_colour(pixels[:, 4:]) == [90]


def test_a_palette_is_grey_only_if_it_has_no_colour(tmp_path: Path) -> None:
    grey = saved(halves("L", 9, 90).convert("P"), tmp_path / "grey.png")
    colour = saved(halves("RGB", (255, 0, 0), (0, 0, 255)).convert("P"), tmp_path / "colour.png")
    with Image.open(grey) as first, Image.open(colour) as second:
        assert first.mode == second.mode == "P"
    assert one_colour(read_picture(grey, None, "crop")[:, :4]) == [9]
    assert one_colour(read_picture(colour, None, "crop")[:, :4]) == [255, 0, 0]


def test_a_palette_with_a_transparent_entry_lies_on_white(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 0)
    image.putpalette([255, 0, 0, 0, 255, 0])
    path = saved(image, tmp_path / "clear.gif", transparency=0)
    assert one_colour(read_picture(path, None, "crop"))[-1] == 255
    assert set(one_colour(read_picture(path, None, "crop"))) == {255}


@pytest.mark.parametrize("suffix", ["png", "tiff", "pgm"])
def test_of_sixteen_bits_the_upper_eight_are_kept(tmp_path: Path, suffix: str) -> None:
    values = np.array([[0, 255, 256], [0x1234, 0x8000, 0xFFFF]], np.uint16)
    path = saved(Image.fromarray(values), tmp_path / f"deep.{suffix}")
    assert read_picture(path, None, "crop")[..., 0].tolist() == [[0, 0, 1], [0x12, 0x80, 0xFF]]


def test_one_bit_images_are_black_and_white(tmp_path: Path) -> None:
    path = saved(halves("1", 0, 1), tmp_path / "fax.png")
    pixels = read_picture(path, None, "crop")
    assert (one_colour(pixels[:, :4]), one_colour(pixels[:, 4:])) == ([0], [255])


def test_cmyk_becomes_the_colour_it_prints(tmp_path: Path) -> None:
    path = saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), tmp_path / "red.jpg", quality=95)
    np.testing.assert_allclose(one_colour(read_picture(path, None, "crop")), [255, 0, 0], atol=4)


def test_floating_point_pixels_are_refused_with_the_reason(tmp_path: Path) -> None:
    path = saved(Image.new("F", (4, 4), 0.5), tmp_path / "real.tiff")
    with pytest.raises(UnreadableImageError, match="32-bit pixels have no known range"):
        read_picture(path, None, "crop")


@pytest.mark.parametrize("size", [None, (4, 8), (64, 32)])
def test_a_photograph_that_lies_on_its_side_is_put_upright(tmp_path: Path, size: tuple[int, int] | None) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise to see it upright
    lying = halves("L", 0, 255, size=(64, 32))
    path = saved(lying, tmp_path / "phone.jpg", exif=exif, quality=95)
    pixels = read_picture(path, size, "stretch")
    assert pixels.shape[:2] == (size or (64, 32))
    half = len(pixels) // 2
    assert pixels[: half - 1].mean() < 20  # what lay left is on top
    assert pixels[half + 1 :].mean() > 235


def test_crop_covers_the_size_from_the_middle(tmp_path: Path) -> None:
    image = Image.new("RGB", (30, 10), (255, 0, 0))
    image.paste((0, 255, 0), (10, 0, 20, 10))
    path = saved(image, tmp_path / "flag.png")
    assert one_colour(read_picture(path, (10, 10), "crop")) == [0, 255, 0]


def test_pad_keeps_the_whole_image_between_white_borders(tmp_path: Path) -> None:
    path = saved(Image.new("L", (30, 10), 7), tmp_path / "bar.png")
    pixels = read_picture(path, (30, 30), "pad")
    assert one_colour(pixels[10:20]) == [7]
    assert one_colour(pixels[:10]) == one_colour(pixels[20:]) == [255]


def test_stretch_changes_the_proportions_and_cuts_nothing(tmp_path: Path) -> None:
    path = saved(halves("L", 0, 255, size=(30, 10)), tmp_path / "bar.png")
    pixels = read_picture(path, (20, 10), "stretch")
    assert pixels.shape == (20, 10, 1)
    assert one_colour(pixels[:, :3]) == [0]
    assert one_colour(pixels[:, -3:]) == [255]


@pytest.mark.parametrize("resize", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [(1, 300), (300, 1), (1, 1)])
def test_the_most_extreme_proportions_still_give_the_size(tmp_path: Path, size: tuple[int, int], resize: str) -> None:
    path = saved(Image.new("RGB", size, (1, 2, 3)), tmp_path / "line.png")
    assert read_picture(path, (16, 24), resize).shape == (16, 24, 3)  # type: ignore[arg-type] # one of the three


def test_decoding_jpeg_at_reduced_size_stays_close_to_the_full_way(tmp_path: Path) -> None:
    y, x = np.mgrid[0:512, 0:512]
    smooth = np.stack([127 + 120 * np.sin(x / 40), 127 + 120 * np.cos(y / 60), (x + y) / 4], axis=-1).astype(np.uint8)
    image = Image.fromarray(smooth)
    fast = read_picture(saved(image, tmp_path / "photo.jpg", quality=95), (64, 64), "crop")
    full = read_picture(saved(image, tmp_path / "photo.png"), (64, 64), "crop")
    assert np.abs(fast.astype(int) - full).mean() < 2


def test_of_an_animation_the_first_frame_is_taken(tmp_path: Path) -> None:
    frames = [Image.new("L", (4, 4), value) for value in (10, 200)]
    path = saved(frames[0], tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert one_colour(read_picture(path, None, "crop")) == [10]


def test_an_image_of_another_size_is_told_before_it_is_decoded(tmp_path: Path) -> None:
    path = saved(Image.new("L", (8, 6)), tmp_path / "other.png")
    assert read_picture(path, None, "crop", only=(6, 8)).shape == (6, 8, 1)
    for size in ((8, 6), (8, 8)):
        with pytest.raises(OtherSizeError):
            read_picture(path, None, "crop", only=size)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"I am a text", "not an image of a known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image of a known format"),  # a program
        (b"", "empty file"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 20, "."),
    ],
)
def test_a_file_that_is_no_image_is_refused_with_a_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "fake.jpg"
    path.write_bytes(content)
    with pytest.raises(UnreadableImageError, match=reason):
        read_picture(path, (8, 8), "crop")


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tiff", "gif"])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    path = saved(Image.fromarray(noise), tmp_path / f"cut.{suffix}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UnreadableImageError):
        read_picture(path, None, "crop")


def test_a_small_file_that_unpacks_into_a_huge_image_is_refused(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    path = tmp_path / "bomb.png"
    head = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    with pytest.raises(UnreadableImageError, match="decompression bomb"):
        read_picture(path, (8, 8), "crop")


def test_pillows_limit_holds_from_the_first_pixel_above_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(Image.new("L", (10, 11)), tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 109)
    with (
        pytest.warns(Image.DecompressionBombWarning),
        pytest.raises(UnreadableImageError, match="10x11 pixels, above Pillow's limit of 109"),
    ):
        read_picture(path, None, "crop")


def test_only_regular_files_are_opened_and_a_pipe_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    (tmp_path / "huge.jpg").touch()
    os.truncate(tmp_path / "huge.jpg", 1 << 40)  # it takes no room
    reasons = {
        "pipe.jpg": "a named pipe, not a file",
        "loop.jpg": "Too many levels of symbolic links",
        "huge.jpg": "more than the 536,870,912 that an image file may have",
        "none.jpg": "No such file or directory",
        "": "a folder, not a file",
        "\0.jpg": "null byte",
    }
    for name, reason in reasons.items():
        with pytest.raises(UnreadableImageError, match=reason):
            read_picture(f"{tmp_path}/{name}", (8, 8), "crop")
    with pytest.raises(UnreadableImageError, match="a device, not a file"):
        read_picture("/dev/zero", (8, 8), "crop")


def test_the_crop_of_any_size_stays_inside_the_image(tmp_path: Path) -> None:
    # 500x373 to 224x224 among others: (373 - 224 * (373 / 224)) / 2 is a trace below zero.
    for width, height in [(500, 373), (373, 500), (331, 499), (149, 500)]:
        path = saved(halves("RGB", "red", "blue", (width, height)), tmp_path / f"{width}x{height}.png")
        for side in (224, 96, 61):
            assert read_picture(path, (side, side), "crop").shape == (side, side, 3)


@pytest.mark.skipif(not decode_image.AVIF, reason="Pillow was built without AVIF")
def test_avif_is_read_whatever_it_is_called(tmp_path: Path) -> None:
    Image.new("RGB", (16, 8), (200, 30, 60)).save(tmp_path / "x.avif", quality=100)
    (tmp_path / "x.avif").rename(tmp_path / "x.jpg")
    pixels = read_picture(tmp_path / "x.jpg", None, "crop")
    assert pixels.shape == (8, 16, 3)
    assert np.abs(pixels.astype(int) - (200, 30, 60)).max() <= 4
    assert ".avif" in decode_image.SUFFIXES


def test_avif_and_heic_say_what_they_need_where_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_image, "AVIF", False)
    monkeypatch.setattr(decode_image, "HEIC", False)
    for brand, reason in ((b"avif", "Pillow 11.3 or later"), (b"heic", r"pip install 'simbench-retrieval\[heic\]'")):
        with pytest.raises(UnreadableImageError, match=reason):
            decode_picture((24).to_bytes(4, "big") + b"ftyp" + brand + bytes(12), None, "crop")
    with pytest.raises(UnreadableImageError, match="not an image of a known format"):  # a film
        decode_picture((24).to_bytes(4, "big") + b"ftypisom" + bytes(12), None, "crop")


def test_heic_is_read_where_its_package_is_there(tmp_path: Path) -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    Image.new("RGB", (64, 32), (200, 30, 60)).save(tmp_path / "x.heic", quality=100)
    pixels = read_picture(tmp_path / "x.heic", None, "crop")
    assert pixels.shape == (32, 64, 3)
    assert np.abs(pixels.astype(int) - (200, 30, 60)).max() <= 4
