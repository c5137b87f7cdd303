"""Many files become one map: decoded once, resumed where it was cut off, complete or absent."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from PIL import Image

from bench.contract import DataError, DataPlace, UsageError
from bench.data.decoding import block, decode, decode_journal, image_source, worker_pool
from bench.data.decoding.decode import DecodeRecipe, decode_files
from bench.data.decoding.decode_image import read_picture
from bench.data.decoding.image_source import MOST, Piece
from bench.data.decoding.worker_pool import CRASHED, map_in_order

T = TypeVar("T")
Paint = Callable[..., Path]


@pytest.fixture
def many(tmp_path: Path, paint: Paint) -> list[Path]:
    """Files of several sizes and modes."""
    paths = []
    for number in range(80):
        mode, colour = ("L", number) if number % 3 else ("RGB", (number, 0, 0))
        suffix = "png" if number % 2 else "jpg"
        paths.append(paint(tmp_path / f"{number}.{suffix}", colour, mode=mode, size=(20 + number, 90 - number)))
    return paths


@pytest.fixture
def decodings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every file that is read to be decoded, as it is."""
    seen: list[str] = []
    read = image_source.read_source

    def watched(source: Any) -> bytes:
        seen.append(source)
        return read(source)

    monkeypatch.setattr(block, "read_source", watched)
    return seen


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of ten files, each seen to the disk at once."""
    monkeypatch.setattr(decode, "MOST_IN_BLOCK", 10)
    monkeypatch.setattr(decode_journal, "EVERY", 0)


def entries(place: DataPlace) -> set[str]:
    """The finished entries of the cache."""
    folder = place.cache / "decoded"
    return {one.name for one in folder.iterdir()} - {"by-files", "under-way"} if folder.exists() else set()


def left_over(place: DataPlace) -> set[str]:
    """What lies where decodes are under way, locks apart."""
    return {one.name for one in (place.cache / "decoded" / "under-way").iterdir() if one.suffix != ".lock"}


def interrupted_at(row: int) -> Any:
    def progress(items: Iterable[T], *, total: int, what: str) -> Iterable[T]:
        for number, item in enumerate(items):
            if number == row:
                raise KeyboardInterrupt
            yield item

    return progress


def test_files_come_in_order_and_small_images_of_one_size_keep_it(
    tmp_path: Path, place: DataPlace, paint: Paint
) -> None:
    paths = [paint(tmp_path / f"{n}.png", n, mode="L", size=(20, 10)) for n in range(100)]
    decoded = decode_files(paths, place, DecodeRecipe())
    assert decoded.pixels.shape == (100, 10, 20, 1)
    assert decoded.pixels[:, 0, 0, 0].tolist() == decoded.kept.tolist() == list(range(100))


@pytest.mark.parametrize("sizes", [[(20, 10), (20, 11)], [(65, 64), (65, 64)], [(10, 20), (20, 10)]])
def test_other_images_are_brought_to_64_by_64(
    tmp_path: Path, place: DataPlace, paint: Paint, sizes: list[tuple[int, int]]
) -> None:
    paths = [paint(tmp_path / f"{n}.png", size=size) for n, size in enumerate(sizes)]
    assert decode_files(paths, place, DecodeRecipe()).pixels.shape == (2, 64, 64, 3)


def test_a_size_that_only_one_late_image_has_is_noticed(tmp_path: Path, place: DataPlace, paint: Paint) -> None:
    paths = [paint(tmp_path / f"{n}.png", size=(8, 8) if n != 77 else (9, 8)) for n in range(100)]
    assert decode_files(paths, place, DecodeRecipe()).pixels.shape == (100, 64, 64, 3)


def test_a_recipes_size_holds_for_small_images_of_one_size_too(tmp_path: Path, place: DataPlace, paint: Paint) -> None:
    paths = [paint(tmp_path / "a.png")]
    found = decode_files(paths, place, DecodeRecipe(size=(5, 7)))
    assert (found.pixels.shape, found.own) == ((1, 5, 7, 3), False)
    assert decode_files(paths, place, DecodeRecipe()).own


def test_one_colour_image_among_grey_ones_makes_all_colour(tmp_path: Path, place: DataPlace, paint: Paint) -> None:
    paths = [paint(tmp_path / f"{n}.png", n, mode="L") for n in range(80)]
    paths[41] = paint(tmp_path / "red.png", (250, 0, 0))
    pixels = decode_files(paths, place, DecodeRecipe()).pixels
    assert pixels.shape == (80, 8, 8, 3)
    assert pixels[7, 0, 0].tolist() == [7, 7, 7]
    assert pixels[41, 0, 0].tolist() == [250, 0, 0]


def test_grey_files_alone_stay_grey(tmp_path: Path, place: DataPlace, paint: Paint) -> None:
    paths = [paint(tmp_path / f"{n}.png", n, mode=mode) for n, mode in enumerate(["L", "1", "P", "I;16"])]
    assert decode_files(paths, place, DecodeRecipe()).pixels.shape == (4, 8, 8, 1)


@pytest.mark.parametrize("size", [None, (16, 24)])
def test_the_mapped_images_are_those_that_pillow_gives_and_no_stage_can_write_them(
    many: list[Path], place: DataPlace, size: tuple[int, int] | None
) -> None:
    mapped = decode_files(many, place, DecodeRecipe(size=size)).pixels
    assert isinstance(mapped, np.memmap)
    assert not mapped.flags.writeable
    for row, path in enumerate(many):
        alone = read_picture(path, size or (64, 64), "crop")
        np.testing.assert_array_equal(mapped[row], np.broadcast_to(alone, mapped[row].shape))


def test_worker_processes_give_the_same_pixels_and_reasons_as_threads(
    many: list[Path], place: DataPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    many[33].write_bytes(many[33].read_bytes()[:60])
    place = replace(place, broken="any")
    threads = decode_files(many, place, DecodeRecipe())
    monkeypatch.setattr(decode, "WORKERS_FROM", 1)
    processes = decode_files(many, replace(place, cache=place.cache / "2"), DecodeRecipe())
    np.testing.assert_array_equal(threads.pixels, processes.pixels)
    assert threads.broken == processes.broken
    assert set(threads.broken) == {33}
    assert entries(place) == entries(replace(place, cache=place.cache / "2"))


def test_a_file_that_crashes_the_decoder_costs_only_itself(
    many: list[Path], place: DataPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill = "import bench.data.decoding.block as b, os; r = b.read_source; "
    kill += "b.read_source = lambda s: os.abort() if s.endswith('/7.png') else r(s); "
    monkeypatch.setattr(worker_pool, "PROGRAM", kill + worker_pool.PROGRAM)
    monkeypatch.setattr(decode, "WORKERS_FROM", 1)
    decoded = decode_files(many, replace(place, broken="any"), DecodeRecipe())
    assert decoded.broken == {7: CRASHED}
    assert (decoded.pixels[8:].reshape(72, -1).max(axis=1) > 0).all()


@pytest.mark.parametrize(
    "missing", [(worker_pool, "PROGRAM", "raise SystemExit"), (sys, "executable", "/nowhere/python")]
)
def test_where_no_process_can_be_started_threads_do_the_work(
    many: list[Path], place: DataPlace, monkeypatch: pytest.MonkeyPatch, missing: tuple[Any, str, str]
) -> None:
    monkeypatch.setattr(*missing)
    monkeypatch.setattr(decode, "WORKERS_FROM", 1)
    assert len(decode_files(many, place, DecodeRecipe()).kept) == 80


def test_images_are_reused_until_a_file_a_size_or_a_policy_changes(
    many: list[Path], place: DataPlace, paint: Paint, decodings: list[str]
) -> None:
    first = decode_files(many, place, DecodeRecipe()).pixels
    decodings.clear()
    np.testing.assert_array_equal(decode_files(many, place, DecodeRecipe()).pixels, first)
    assert decodings == []
    decode_files(many, place, DecodeRecipe(resize="pad"))
    decode_files(many, place, DecodeRecipe(size=(32, 32)))
    assert len(entries(place)) == 3
    paint(many[5], 99, mode="L", size=(33, 33))
    assert (decode_files(many, place, DecodeRecipe()).pixels[5] == 99).all()


def test_a_file_changed_behind_its_time_stamp_is_noticed(tmp_path: Path, place: DataPlace, paint: Paint) -> None:
    paths = [paint(tmp_path / f"{n}.bmp", n, mode="L") for n in range(3)]
    decode_files(paths, place, DecodeRecipe())
    before = paths[1].stat()
    time.sleep(0.02)  # the clock of file systems ticks a hundred times a second
    paint(paths[1], 77, mode="L")
    os.utime(paths[1], ns=(before.st_atime_ns, before.st_mtime_ns))
    assert paths[1].stat().st_size == before.st_size
    assert (decode_files(paths, place, DecodeRecipe()).pixels[1] == 77).all()


def test_the_same_content_at_another_place_takes_no_more_room(
    tmp_path: Path, place: DataPlace, many: list[Path]
) -> None:
    first = decode_files(many, place, DecodeRecipe()).pixels
    (tmp_path / "moved").mkdir()
    moved = [path.rename(tmp_path / "moved" / path.name) for path in many]
    second = decode_files(moved, place, DecodeRecipe()).pixels
    assert len(entries(place)) == 1
    np.testing.assert_array_equal(first, second)


def test_a_decode_that_is_cut_off_goes_on_where_it_stopped(
    many: list[Path], place: DataPlace, decodings: list[str], small_blocks: None
) -> None:
    with pytest.raises(KeyboardInterrupt):
        decode_files(many, replace(place, progress=interrupted_at(35)), DecodeRecipe())
    assert entries(place) == set()
    decodings.clear()
    resumed = decode_files(many, place, DecodeRecipe())
    assert not set(decodings) & {str(path) for path in many[:30]}
    assert len(set(decodings)) >= 20
    assert left_over(place) == set()
    whole = decode_files(many, replace(place, cache=place.cache / "2"), DecodeRecipe())
    np.testing.assert_array_equal(resumed.pixels, whole.pixels)


@pytest.mark.parametrize("harm", ["pixels", "journal", "half a line", "nonsense"])
def test_what_a_killed_process_left_is_trusted_as_far_as_its_checksums_hold(
    many: list[Path], place: DataPlace, small_blocks: None, harm: str
) -> None:
    with pytest.raises(KeyboardInterrupt):
        decode_files(many, replace(place, progress=interrupted_at(35)), DecodeRecipe())
    (name,) = left_over(place)
    folder = place.cache / "decoded" / "under-way" / name
    journal = folder / "blocks.jsonl"
    if harm == "pixels":
        with (folder / "pixels.npy").open("r+b") as file:
            file.seek(5000)
            file.write(b"damaged")
    elif harm == "journal":
        journal.unlink()
    elif harm == "half a line":
        journal.write_text(journal.read_text()[:-20])
    else:
        journal.write_text('[1]\n{"frame": 3}\n')
    pixels = decode_files(many, place, DecodeRecipe()).pixels
    whole = decode_files(many, replace(place, cache=place.cache / "2"), DecodeRecipe()).pixels
    np.testing.assert_array_equal(pixels, whole)


PROGRAM = """
import sys, pathlib
from bench.contract import DataPlace
from bench.data.decoding import decode, decode_journal
from bench.data.decoding.decode import DecodeRecipe, decode_files
decode.MOST_IN_BLOCK, decode_journal.EVERY, decode.WORKERS_FROM = 5, 0, int(sys.argv[3])
def tell(items, *, total, what):
    for number, item in enumerate(items):
        if number % 5 == 0:
            print(number, flush=True)
            if sys.argv[4] == "slow":
                import time; time.sleep(0.1)
        yield item
files = sorted(pathlib.Path(sys.argv[1]).glob("*.*g"))
decoded = decode_files(files, DataPlace(None, pathlib.Path(sys.argv[2]), progress=tell), DecodeRecipe())
print("sum", int(decoded.pixels.sum(dtype="int64")), flush=True)
"""


@pytest.mark.parametrize("workers_from", [1, 10_000], ids=["processes", "threads"])
def test_a_process_that_is_killed_leaves_a_decode_that_another_finishes(
    many: list[Path], place: DataPlace, workers_from: int
) -> None:
    command = [sys.executable, "-P", "-c", PROGRAM, str(many[0].parent), str(place.cache), str(workers_from)]
    with subprocess.Popen([*command, "slow"], stdout=subprocess.PIPE, text=True) as victim:
        assert victim.stdout is not None
        for line in victim.stdout:
            if line == "40\n":
                victim.send_signal(signal.SIGKILL)
    (name,) = left_over(place)
    journal = (place.cache / "decoded" / "under-way" / name / "blocks.jsonl").read_text().splitlines()
    assert len(journal) >= 9  # the head and eight blocks
    assert json.loads(journal[0])["files"] == 80
    subprocess.run([*command, "fast"], check=True, stdout=subprocess.DEVNULL)
    assert len(entries(place)) == 1
    assert left_over(place) == set()


def test_two_processes_at_once_give_one_entry_and_the_same_pixels(many: list[Path], place: DataPlace) -> None:
    command = [sys.executable, "-P", "-c", PROGRAM, str(many[0].parent), str(place.cache), "10000", "fast"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    sums = [process.communicate()[0].splitlines()[-1] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sums[0] == sums[1]
    assert len(entries(place)) == 1


@pytest.mark.parametrize("name", ["pixels.npy", "entry.json"])
def test_a_damaged_entry_is_decoded_again(
    many: list[Path], place: DataPlace, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    expected = np.array(decode_files(many, place, DecodeRecipe()).pixels)
    (key,) = entries(place)
    damaged = place.cache / "decoded" / key / name
    os.truncate(damaged, damaged.stat().st_size // 2)
    np.testing.assert_array_equal(decode_files(many, place, DecodeRecipe()).pixels, expected)
    assert "a damaged cache entry, decoding again" in caplog.text


def test_broken_files_are_counted_and_the_first_ones_named(tmp_path: Path, place: DataPlace, paint: Paint) -> None:
    paths = [paint(tmp_path / f"{n}.png") for n in range(50)]
    for number in (3, 10, 20, 30):
        paths[number].write_text("no image")
    with pytest.raises(DataError) as caught:
        decode_files(paths, place, DecodeRecipe())
    message = str(caught.value)
    assert message.startswith("4 of 50 image files cannot be read: ")
    assert f"{paths[3]} (not an image of a known format)" in message
    assert ", and 1 more. " in message
    assert "--skip-broken" in message
    assert str(paths[30]) not in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "case",
    [
        (100, 1, "few", True),
        (100, 2, "few", False),
        (99, 1, "few", False),
        (250, 2, "few", True),
        (250, 3, "few", False),
        (250, 1, "none", False),
        (250, 0, "none", True),
        (10, 9, "any", True),
        (10, 10, "any", False),
    ],
)
def test_one_broken_file_in_a_hundred_is_left_out(
    tmp_path: Path, place: DataPlace, paint: Paint, case: tuple[int, int, Any, bool]
) -> None:
    files, broken, policy, good = case
    paths = [paint(tmp_path / f"{n}.bmp", n % 256, mode="L", size=(2, 2)) for n in range(files)]
    for path in paths[:broken]:
        path.write_bytes(b"")
    warnings: list[str] = []
    place = replace(place, broken=policy)
    for _ in range(2):  # the second time from the cache
        if good:
            decoded = decode_files(paths, place, DecodeRecipe(), warn=warnings.append)
            assert decoded.kept.tolist() == list(range(broken, files))
            assert decoded.pixels[decoded.kept, 0, 0, 0].tolist() == [n % 256 for n in range(broken, files)]
        else:
            hint = {"few": "--skip-broken", "none": "--strict", "any": "none of the 10"}[policy]
            with pytest.raises(DataError, match=hint):
                decode_files(paths, place, DecodeRecipe(), warn=warnings.append)
    assert len(warnings) == (2 if good and broken else 0)
    assert all(f"{broken} of {files} image files cannot be read: " in one for one in warnings)


def test_after_a_refusal_the_other_policy_decodes_nothing_again(
    many: list[Path], place: DataPlace, decodings: list[str]
) -> None:
    many[3].write_text("no image")
    with pytest.raises(DataError):
        decode_files(many, place, DecodeRecipe())
    decodings.clear()
    assert len(decode_files(many, replace(place, broken="any"), DecodeRecipe()).kept) == 79
    assert decodings == []


def test_the_warning_is_logged_where_nobody_asks_for_it(
    tmp_path: Path, place: DataPlace, paint: Paint, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "broken.png"
    broken.touch()
    with caplog.at_level(logging.WARNING):
        decode_files([broken, paint(tmp_path / "good.png")], replace(place, broken="any"), DecodeRecipe())
    assert "broken.png" in caplog.text


def test_a_file_that_comes_back_is_decoded(tmp_path: Path, place: DataPlace, paint: Paint) -> None:
    paths = [paint(tmp_path / "a.png"), tmp_path / "b.png"]
    place = replace(place, broken="any")
    assert decode_files(paths, place, DecodeRecipe()).broken == {1: "No such file or directory"}
    paint(paths[1])
    assert decode_files(paths, place, DecodeRecipe()).broken == {}


def test_pieces_of_a_file_are_images_too(tmp_path: Path, place: DataPlace, paint: Paint) -> None:
    contents = [paint(tmp_path / f"{n}.png", n, mode="L").read_bytes() for n in range(5)]
    whole = tmp_path / "all.bin"
    whole.write_bytes(b"".join(contents))
    starts = np.cumsum([0, *map(len, contents)]).tolist()
    pieces = [Piece(str(whole), starts[n], len(contents[n]), f"row {n}") for n in range(5)]
    pieces.append(Piece(str(whole), starts[5], 0, "row 5"))
    decoded = decode_files(pieces, replace(place, broken="any"), DecodeRecipe())
    assert decoded.pixels[:5, 0, 0, 0].tolist() == list(range(5))
    assert decoded.broken == {5: "empty file"}


def test_a_small_image_of_a_huge_file_is_an_image(tmp_path: Path, place: DataPlace, paint: Paint) -> None:
    content = paint(tmp_path / "one.png", 3, mode="L").read_bytes()
    with (tmp_path / "huge.bin").open("wb") as huge:  # sparse: it takes no room
        huge.truncate(MOST + 1)
        huge.seek(MOST)
        huge.write(content)
    decoded = decode_files([Piece(str(tmp_path / "huge.bin"), MOST, len(content), "row 0")], place, DecodeRecipe())
    assert decoded.pixels[0, 0, 0, 0] == 3


def test_a_name_with_spaces_and_letters_of_any_script_is_a_name(tmp_path: Path, place: DataPlace, paint: Paint) -> None:
    paths = [paint(tmp_path / "été à la plage" / "猫 и собака 🐈.png", 5, mode="L")]
    assert decode_files(paths, place, DecodeRecipe()).pixels[0, 0, 0, 0] == 5


@pytest.mark.parametrize("workers_from", [1, 10_000], ids=["processes", "threads"])
def test_a_name_that_is_not_utf8_is_decoded_and_can_be_said(
    tmp_path: Path, place: DataPlace, paint: Paint, monkeypatch: pytest.MonkeyPatch, workers_from: int
) -> None:
    monkeypatch.setattr(decode, "WORKERS_FROM", workers_from)
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    os.replace(paint(tmp_path / "cafe.png", 5, mode="L"), odd)
    assert decode_files([odd], place, DecodeRecipe()).pixels[0, 0, 0, 0] == 5
    odd.write_text("no image")
    with pytest.raises(DataError, match=r"caf\\xe9\.png") as caught:
        decode_files([odd], place, DecodeRecipe())
    str(caught.value).encode("utf-8")


def test_progress_counts_the_files(many: list[Path], place: DataPlace) -> None:
    seen: list[tuple[int, str, int]] = []

    def progress(items: Iterable[T], *, total: int, what: str) -> Iterable[T]:
        found = list(items)
        seen.append((total, what, len(found)))
        return found

    decode_files(many, replace(place, progress=progress), DecodeRecipe(size=(8, 8)))
    assert seen[-1] == (80, "decoding images", 80)


def test_an_unknown_policy_names_the_likeliest() -> None:
    with pytest.raises(UsageError, match="did you mean 'crop'"):
        DecodeRecipe(resize="corp")  # type: ignore[arg-type] # that is the point


def test_a_cache_that_cannot_be_written_is_an_error_with_its_place(
    tmp_path: Path, place: DataPlace, paint: Paint
) -> None:
    place.cache.write_text("a file in the way")
    with pytest.raises(DataError, match="cache cannot be written"):
        decode_files([paint(tmp_path / "a.png")], place, DecodeRecipe())


def test_a_full_disk_is_an_error_and_leaves_nothing(
    many: list[Path], place: DataPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(decode, "fill_block", full)
    with pytest.raises(DataError, match="No space left on device"):
        decode_files(many, place, DecodeRecipe())
    assert entries(place) == left_over(place) == set()


def test_a_full_disk_under_a_worker_is_the_same_error(
    many: list[Path], place: DataPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = "import bench.data.decoding.block as w\n"
    full += "def f(t): raise OSError(28, 'No space left on device')\nw.fill_block = f\n"
    monkeypatch.setattr(worker_pool, "PROGRAM", full + worker_pool.PROGRAM)
    monkeypatch.setattr(decode, "WORKERS_FROM", 1)
    with pytest.raises(DataError, match="No space left on device"):
        decode_files(many, place, DecodeRecipe())
    assert entries(place) == left_over(place) == set()


def test_a_map_is_no_larger_than_its_images(tmp_path: Path, place: DataPlace, paint: Paint) -> None:
    paths = [paint(tmp_path / f"{n}.png", n, mode="L") for n in range(10)]
    decode_files(paths, place, DecodeRecipe())
    (key,) = entries(place)
    assert (place.cache / "decoded" / key / "pixels.npy").stat().st_size == 128 + 10 * 8 * 8


def test_images_above_pillows_limit_are_broken_files(
    tmp_path: Path, place: DataPlace, paint: Paint, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [paint(tmp_path / "small.png", size=(8, 8)), paint(tmp_path / "large.png", size=(30, 30))]
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(DataError, match=r"1 of 2 .*large\.png \(.*decompression bomb"):
        decode_files(paths, place, DecodeRecipe(size=(8, 8)))


def test_threads_give_results_in_order_and_hold_few_at_a_time() -> None:
    started: list[int] = []

    def work(item: int) -> int:
        started.append(item)
        return item * item

    results = map_in_order(work, range(100_000))
    assert [next(results) for _ in range(3)] == [0, 1, 4]
    assert len(started) < 10_000
    results.close()  # type: ignore[attr-defined] # an iterator that is a generator
