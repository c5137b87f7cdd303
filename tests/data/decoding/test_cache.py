"""The cache of decoded images: what is damaged or another's is decoded again, and never gives other pixels."""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench.contract import DataPlace
from bench.data.decoding import cache, decode
from bench.data.decoding.block import Frame, Outcome
from bench.data.decoding.decode import DecodeRecipe, decode_files
from bench.data.decoding.decode_journal import DecodeJournal

Paint = Callable[..., Path]


@pytest.fixture
def files(tmp_path: Path, paint: Paint, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.setattr(decode, "MOST_IN_BLOCK", 3)
    return [paint(tmp_path / f"{number}.png", 9 * number, mode="L") for number in range(8)]


def flip(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8 % len(data)] ^= 1 << bit % 8
    path.write_bytes(data)


def pixels(files: list[Path], place: DataPlace) -> np.ndarray:
    cache._verified.clear()  # as in a new process
    return np.array(decode_files(files, place, DecodeRecipe()).pixels)


def parts(place: DataPlace) -> list[Path]:
    """The alias, the facts and the pixels of the one entry."""
    found = (place.cache / "decoded").rglob("*")
    return sorted(path for path in found if path.is_file() and path.suffix != ".lock")


@pytest.mark.faults
def test_no_flipped_bit_of_an_entry_gives_other_pixels(files: list[Path], place: DataPlace) -> None:
    right = pixels(files, place)
    rng = np.random.default_rng(0)
    for number in range(90):
        there = parts(place)
        assert len(there) == 3
        path = there[number % 3]
        flip(path, int(rng.integers(0, 8 * path.stat().st_size)))
        np.testing.assert_array_equal(pixels(files, place), right)


def test_flipped_pixels_are_told_in_one_line_and_decoded_again(
    files: list[Path], place: DataPlace, caplog: pytest.LogCaptureFixture
) -> None:
    right = pixels(files, place)
    (path,) = (one for one in parts(place) if one.name == "pixels.npy")
    flip(path, 8 * (path.stat().st_size - 1))
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(pixels(files, place), right)
    assert len(caplog.records) == 1
    assert "images 6 to 7 are not what was written" in caplog.text


@pytest.mark.parametrize("what", ["pixels.npy", "entry.json", "both", "alias"])
def test_files_exchanged_between_two_entries_are_noticed(
    files: list[Path], tmp_path: Path, place: DataPlace, paint: Paint, what: str
) -> None:
    others = [paint(tmp_path / f"other{number}.png", 200 - number, mode="L") for number in range(8)]
    right, right_others = pixels(files, place), pixels(others, place)
    one, other = (path.parent for path in parts(place) if path.name == "entry.json")
    names = {"both": ("pixels.npy", "entry.json"), "alias": ()}.get(what, (what,))
    pairs = [(one / name, other / name) for name in names]
    if what == "alias":
        first, last = sorted((place.cache / "decoded" / "by-files").iterdir())
        pairs = [(first, last)]
    for left, right_file in pairs:
        left_bytes = left.read_bytes()
        left.write_bytes(right_file.read_bytes())
        right_file.write_bytes(left_bytes)
    np.testing.assert_array_equal(pixels(files, place), right)
    np.testing.assert_array_equal(pixels(others, place), right_others)


def test_an_entry_is_verified_once_a_process(
    files: list[Path], place: DataPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels(files, place)
    monkeypatch.setattr(zlib, "crc32", lambda *_: pytest.fail("looked at again"))
    decode_files(files, place, DecodeRecipe())


def test_a_journal_ends_at_a_damaged_line_and_is_not_another_decodes(tmp_path: Path) -> None:
    work = DecodeJournal(tmp_path / "a", 4, {"format": 1})
    work.begin(Frame(1, 1, 1, own=True))
    for start in range(4):
        work.enter(Outcome(start, 1, crc=zlib.crc32(b"\0"), contents=f"d{start}"))
    work.sync()
    assert sorted(DecodeJournal(tmp_path / "a", 4, {"format": 1}).done) == [0, 1, 2, 3]
    journal = tmp_path / "a" / "blocks.jsonl"
    journal.write_text(journal.read_text("utf-8").replace('"d2"', '"d6"'), "utf-8")
    assert sorted(DecodeJournal(tmp_path / "a", 4, {"format": 1}).done) == [0, 1]
    (tmp_path / "a").rename(tmp_path / "b")
    assert DecodeJournal(tmp_path / "b", 4, {"format": 1}).frame is None


def test_facts_that_are_no_mapping_or_nested_too_deep_are_damage(files: list[Path], place: DataPlace) -> None:
    right = pixels(files, place)
    for text in ("[]", "[" * 100_000, json.dumps({"digest": 1})):
        (path,) = (one for one in parts(place) if one.name == "entry.json")
        path.write_text(text, "utf-8")
        np.testing.assert_array_equal(pixels(files, place), right)
