"""Many files become one array: the same in memory and in a map, decoded once, complete or absent."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from PIL import Image

from bench.contract import DataError, DataPlace, UsageError
from bench.data import cache, decode
from bench.data.decode import Recipe, decode_files
from bench.data.picture import read_picture
from bench.data.threaded import map_in_order

T = TypeVar("T")
Paint = Callable[..., Path]
MAPPED = Recipe(memory=0)


@pytest.fixture
def many(tmp_path: Path, paint: Paint) -> list[Path]:
    """Files of several sizes and modes, more than one thread takes at a time."""
    paths = []
    for number in range(80):
        mode, colour = ("L", number) if number % 3 else ("RGB", (number, 0, 0))
        suffix = "png" if number % 2 else "jpg"
        paths.append(paint(tmp_path / f"{number}.{suffix}", colour, mode=mode, size=(20 + number, 90 - number)))
    return paths


@pytest.fixture
def decodings(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every file that is decoded, as it is."""
    seen: list[Path] = []

    def watched(path: Path, *arguments: Any, **named: Any) -> Any:
        seen.append(path)
        return read_picture(path, *arguments, **named)

    monkeypatch.setattr(decode, "read_picture", watched)
    return seen


def entries(place: DataPlace) -> set[str]:
    """What lies in the cache, locks apart."""
    folder = place.cache / "decoded"
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"} if folder.exists() else set()


def test_files_come_in_order_and_small_images_of_one_size_keep_it(
    tmp_path: Path, place: DataPlace, paint: Paint
) -> None:
    paths = [paint(tmp_path / f"{n}.png", n, mode="L", size=(20, 10)) for n in range(100)]
    decoded = decode_files(paths, place, Recipe())
    assert decoded.pixels.shape == (100, 10, 20, 1)
    assert decoded.pixels[:, 0, 0, 0].tolist() == decoded.kept.tolist() == list(range(100))


@pytest.mark.parametrize("sizes", [[(20, 10), (20, 11)], [(65, 64), (65, 64)], [(10, 20), (20, 10)]])
def test_other_images_are_brought_to_64_by_64(
    tmp_path: Path, place: DataPlace, paint: Paint, sizes: list[tuple[int, int]]
) -> None:
    paths = [paint(tmp_path / f"{n}.png", size=size) for n, size in enumerate(sizes)]
    assert decode_files(paths, place, Recipe()).pixels.shape == (2, 64, 64, 3)


def test_the_users_image_size_outranks_the_recipes(tmp_path: Path, place: DataPlace, paint: Paint) -> None:
    paths = [paint(tmp_path / "a.png")]
    assert decode_files(paths, place, Recipe(size=(5, 7))).pixels.shape == (1, 5, 7, 3)
    sized = replace(place, image_size=(9, 3))
    assert decode_files(paths, sized, Recipe(size=(5, 7))).pixels.shape == (1, 9, 3, 3)


@pytest.mark.parametrize("recipe", [Recipe(), MAPPED], ids=["in memory", "mapped"])
def test_one_colour_image_among_grey_ones_makes_all_colour(
    tmp_path: Path, place: DataPlace, paint: Paint, recipe: Recipe
) -> None:
    paths = [paint(tmp_path / f"{n}.png", n, mode="L") for n in range(40)]
    paths.append(paint(tmp_path / "red.png", (250, 0, 0)))
    pixels = decode_files(paths, place, recipe).pixels
    assert pixels.shape == (41, 8, 8, 3)
    assert pixels[7, 0, 0].tolist() == [7, 7, 7]
    assert pixels[40, 0, 0].tolist() == [250, 0, 0]


def test_grey_files_alone_stay_grey(tmp_path: Path, place: DataPlace, paint: Paint) -> None:
    paths = [paint(tmp_path / f"{n}.png", n, mode=mode) for n, mode in enumerate(["L", "1", "P", "I;16"])]
    assert decode_files(paths, place, Recipe()).pixels.shape == (4, 8, 8, 1)


@pytest.mark.parametrize("size", [None, (16, 24)])
def test_the_mapped_images_equal_those_in_memory_and_no_stage_can_write_either(
    many: list[Path], place: DataPlace, size: tuple[int, int] | None
) -> None:
    memory = decode_files(many, place, Recipe(size=size)).pixels
    assert entries(place) == set()
    mapped = decode_files(many, place, Recipe(size=size, memory=0)).pixels
    assert isinstance(mapped, np.memmap)
    assert not memory.flags.writeable
    assert not mapped.flags.writeable
    np.testing.assert_array_equal(memory, mapped)


def test_mapped_images_are_reused_until_a_file_a_size_or_a_policy_changes(
    many: list[Path], place: DataPlace, paint: Paint, decodings: list[Path]
) -> None:
    first = decode_files(many, place, MAPPED).pixels
    decodings.clear()
    np.testing.assert_array_equal(decode_files(many, place, MAPPED).pixels, first)
    assert decodings == []
    decode_files(many, place, replace(MAPPED, resize="pad"))
    decode_files(many, place, replace(MAPPED, size=(32, 32)))
    assert len(entries(place)) == 3
    paint(many[5], 99, mode="L", size=(33, 33))
    assert (decode_files(many, place, MAPPED).pixels[5] == 99).all()


def test_a_decode_that_is_cut_off_leaves_nothing_that_is_read(
    many: list[Path], place: DataPlace, decodings: list[Path]
) -> None:
    def interrupted(items: Iterable[T], *, total: int, what: str) -> Iterable[T]:
        for number, item in enumerate(items):
            if number == 60:
                raise KeyboardInterrupt
            yield item

    with pytest.raises(KeyboardInterrupt):
        decode_files(many, replace(place, progress=interrupted), MAPPED)
    assert entries(place) == set()
    decodings.clear()
    assert len(decode_files(many, place, MAPPED).pixels) == len(many)
    assert set(decodings) == set(many)


def test_what_a_killed_process_left_is_never_read_and_is_removed(many: list[Path], place: DataPlace) -> None:
    expected = decode_files(many, place, Recipe()).pixels
    decode_files(many, place, MAPPED)
    (key,) = entries(place)
    folder = place.cache / "decoded"
    (folder / key).rename(folder / f"{key}.partial")  # as a kill -9 between the last write and the rename leaves it
    (folder / f"{key}.partial" / "pixels.npy").write_bytes(b"half an array")
    np.testing.assert_array_equal(decode_files(many, place, MAPPED).pixels, expected)
    assert entries(place) == {key}


@pytest.mark.parametrize("name", ["pixels.npy", "index.json"])
def test_a_damaged_entry_is_decoded_again(
    many: list[Path], place: DataPlace, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    expected = np.array(decode_files(many, place, MAPPED).pixels)
    (key,) = entries(place)
    damaged = place.cache / "decoded" / key / name
    os.truncate(damaged, damaged.stat().st_size // 2)
    np.testing.assert_array_equal(decode_files(many, place, MAPPED).pixels, expected)
    assert "a damaged cache entry, decoding again" in caplog.text


@pytest.mark.parametrize("recipe", [Recipe(), MAPPED], ids=["in memory", "mapped"])
def test_broken_files_are_counted_and_the_first_ones_named(
    tmp_path: Path, place: DataPlace, paint: Paint, recipe: Recipe
) -> None:
    paths = [paint(tmp_path / f"{n}.png") for n in range(50)]
    for number in (3, 10, 20, 30):
        paths[number].write_text("no image")
    with pytest.raises(DataError) as caught:
        decode_files(paths, place, recipe)
    message = str(caught.value)
    assert message.startswith("4 of 50 image files cannot be read: ")
    assert f"{paths[3]} (not an image of a known format)" in message
    assert ", and 1 more. " in message
    assert str(paths[30]) not in message
    assert "\n" not in message


@pytest.mark.parametrize("recipe", [Recipe(), MAPPED], ids=["in memory", "mapped"])
def test_broken_files_can_be_left_out_with_a_warning(
    tmp_path: Path, place: DataPlace, paint: Paint, recipe: Recipe
) -> None:
    paths = [paint(tmp_path / f"{n}.png", n, mode="L") for n in range(50)]
    paths[0].write_text("no image")
    paths[49].write_bytes(b"")
    warnings: list[str] = []
    for _ in range(2):  # the second time, mapped images come from the cache
        decoded = decode_files(paths, place, replace(recipe, skip_broken=True), warnings.append)
        assert decoded.kept.tolist() == list(range(1, 49))
        assert decoded.pixels[:, 0, 0, 0].tolist() == list(range(1, 49))
    assert warnings[0] == warnings[1]
    assert "2 of 50 image files cannot be read" in warnings[0]
    assert "0.png" in warnings[0]
    assert "49.png (empty file)" in warnings[0]


def test_the_warning_is_logged_where_nobody_asks_for_it(
    tmp_path: Path, place: DataPlace, paint: Paint, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "broken.png"
    broken.touch()
    with caplog.at_level(logging.WARNING):
        decode_files([broken, paint(tmp_path / "good.png")], place, Recipe(skip_broken=True))
    assert "broken.png" in caplog.text


@pytest.mark.parametrize("recipe", [Recipe(skip_broken=True), Recipe(skip_broken=True, memory=0)])
def test_if_no_file_can_be_read_it_is_an_error_even_when_skipping(
    tmp_path: Path, place: DataPlace, recipe: Recipe
) -> None:
    (tmp_path / "a.png").touch()
    with pytest.raises(DataError, match=r"none of the 1 image files can be read: .*a\.png \(empty file\)"):
        decode_files([tmp_path / "a.png"], place, recipe)
    assert entries(place) == set()


def test_a_name_with_spaces_and_letters_of_any_script_is_a_name(tmp_path: Path, place: DataPlace, paint: Paint) -> None:
    paths = [paint(tmp_path / "été à la plage" / "猫 и собака 🐈.png", 5, mode="L")]
    for recipe in (Recipe(), MAPPED):
        assert decode_files(paths, place, recipe).pixels[0, 0, 0, 0] == 5


def test_a_name_that_is_not_utf8_is_decoded_and_can_be_said(tmp_path: Path, place: DataPlace, paint: Paint) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    os.replace(paint(tmp_path / "cafe.png", 5, mode="L"), odd)
    for recipe in (Recipe(), MAPPED):
        assert decode_files([odd], place, recipe).pixels[0, 0, 0, 0] == 5
    odd.write_text("no image")
    with pytest.raises(DataError, match=r"caf\\xe9\.png") as caught:
        decode_files([odd], place, Recipe())
    str(caught.value).encode("utf-8")


def test_progress_counts_the_files(many: list[Path], place: DataPlace) -> None:
    seen: list[tuple[int, str]] = []

    def progress(items: Iterable[T], *, total: int, what: str) -> Iterable[T]:
        seen.append((total, what))
        return items

    decode_files(many, replace(place, progress=progress), Recipe(size=(8, 8)))
    assert seen[-1] == (80, "decoding images")


def test_an_unknown_policy_names_the_likeliest(place: DataPlace) -> None:
    with pytest.raises(UsageError, match="did you mean 'crop'"):
        Recipe(resize="corp")  # type: ignore[arg-type] # that is the point


def test_a_cache_that_cannot_be_written_is_an_error_with_its_place(
    tmp_path: Path, place: DataPlace, paint: Paint
) -> None:
    place.cache.write_text("a file in the way")
    with pytest.raises(DataError, match="cache cannot be written"):
        decode_files([paint(tmp_path / "a.png")], place, MAPPED)


def test_a_full_disk_is_an_error_and_leaves_no_entry(
    many: list[Path], place: DataPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.PixelFile, "add", full)
    with pytest.raises(DataError, match="No space left on device"):
        decode_files(many, place, MAPPED)
    assert entries(place) == set()


def test_a_map_is_no_larger_than_its_images(tmp_path: Path, place: DataPlace, paint: Paint) -> None:
    paths = [paint(tmp_path / f"{n}.png", n, mode="L") for n in range(10)]
    decode_files(paths, place, MAPPED)
    (key,) = entries(place)
    assert (place.cache / "decoded" / key / "pixels.npy").stat().st_size == 128 + 10 * 8 * 8


def test_images_above_pillows_limit_are_broken_files(
    tmp_path: Path, place: DataPlace, paint: Paint, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [paint(tmp_path / "small.png", size=(8, 8)), paint(tmp_path / "large.png", size=(30, 30))]
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(DataError, match=r"1 of 2 .*large\.png \(.*decompression bomb"):
        decode_files(paths, place, Recipe(size=(8, 8)))


def test_threads_give_results_in_order_and_hold_few_at_a_time() -> None:
    started: list[int] = []

    def work(item: int) -> int:
        started.append(item)
        return item * item

    results = map_in_order(work, range(100_000))
    assert [next(results) for _ in range(3)] == [0, 1, 4]
    assert len(started) < 10_000
    results.close()  # type: ignore[attr-defined] # an iterator that is a generator
