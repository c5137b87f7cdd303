"""A summary counts what is there, and tells what can be done with it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.contract import Collection, DataError, DataPlace, ImageShape, Resize
from bench.data.decoding.decode import DecodeRecipe
from bench.data.layouts.folder import list_folder
from bench.data.layouts.listing import collect
from bench.data.layouts.manifest import list_manifest
from bench.data.layouts.summary import PartSummary, summarise

MakeCollection = Callable[..., Collection]


def test_parts_classes_shape_and_imbalance_are_counted(make_collection: MakeCollection) -> None:
    summary = summarise(make_collection(3, train=[0, 0, 0, 0, 1, 1, 2], test=[0, 0, 1, 1, 2]))
    assert summary.name == "toy"
    assert summary.shape == ImageShape(2, 2, 1)
    assert summary.classes == ("class 0", "class 1", "class 2")
    assert dict(summary.parts) == {"train": PartSummary(7, 3, 1, 2.0, 4), "test": PartSummary(5, 3, 1, 2.0, 2)}
    assert summary.imbalance == 4.0
    assert summary.thin == ("class 2",)


def test_the_possible_protocols_are_told_and_why_the_others_are_not(make_collection: MakeCollection) -> None:
    summary = summarise(make_collection(train=[0, 1], test=[0, 0, 1, 1]))
    assert summary.protocols == ("holdout", "loo", "single_shot", "database")
    assert "needs a query and a gallery part" in summary.obstacles["given"]


def test_unseen_classes_are_possible_from_four_classes_on(make_collection: MakeCollection) -> None:
    assert "unseen" in summarise(make_collection(4, train=[0, 1, 2, 3], test=[0, 1, 2, 3] * 2)).protocols
    assert "needs 4 classes" in summarise(make_collection(3, train=[0, 1, 2], test=[0, 1, 2] * 2)).obstacles["unseen"]


def test_of_data_with_its_own_queries_thin_classes_are_those_without_gallery(make_collection: MakeCollection) -> None:
    summary = summarise(make_collection(3, train=[0, 1], query=[0, 1, 2], gallery=[0, 1]))
    assert summary.thin == ("class 2",)
    assert summary.protocols == ("given",)


def test_an_empty_part_is_counted_as_empty(make_collection: MakeCollection) -> None:
    summary = summarise(make_collection(train=[0, 1], validation=[], test=[0, 0, 1, 1]))
    assert summary.parts["validation"] == PartSummary(0, 0, 0, 0.0, 0)


def deep(root: Path, top: int) -> Path:
    for label, share in (("dark", 4), ("light", 1)):
        for number in range(4):
            values = np.full((8, 8), top // share, np.uint16)
            values[0, 0] = number
            (root / label).mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(root / label / f"{number}.png")
    return root


@pytest.mark.parametrize(
    ("top", "told"),
    [
        (4095, "so that 16 of 256 grey levels are left; --set datasets.folder.value_range=0,4095 uses all"),
        (200, "so that they are all black; --set datasets.folder.value_range=0,255"),
        (65_000, ""),
    ],
)
def test_16_bit_pictures_that_use_a_fraction_of_their_range_are_told(
    tmp_path: Path, place: DataPlace, caplog: pytest.LogCaptureFixture, top: int, told: str
) -> None:
    found = collect(list_folder(deep(tmp_path / "xray", top)), place, DecodeRecipe(), mirror=False)
    noted = [note for note in found.notes if "16-bit" in note]
    assert len(noted) == len([one for one in caplog.records if "16-bit" in one.message]) == bool(told)
    assert told in "".join(noted)
    assert f"the highest value is {top:,} of 65,535" in "".join(noted) or not told


def test_a_value_range_makes_its_ends_black_and_white(tmp_path: Path, place: DataPlace) -> None:
    root = deep(tmp_path / "xray", 4095)
    found = collect(list_folder(root), place, DecodeRecipe(value_range=(0, 4095)), mirror=False)
    assert [note for note in found.notes if "16-bit" in note] == []
    assert found.train.images.files is not None
    assert found.train.images.files.resize == Resize(8, 8, "crop", (0, 4095))
    pixels = found.train.images.take(slice(None))
    # by hand: 4095 is white, 4095 // 4 = 1023 is 1023 * 255 / 4095 = 63.7
    assert sorted(set(pixels[:, 1:].ravel().tolist())) == [64, 255]
    narrow = collect(list_folder(root), place, DecodeRecipe(value_range=(1000, 2000)), mirror=False)
    assert sorted(set(narrow.train.images.take(slice(None))[:, 1:].ravel().tolist())) == [6, 255]  # 23 * .255, clipped
    assert any("above the 2,000 that value_range makes white" in note for note in narrow.notes)


def test_a_broken_file_is_left_out_of_data_that_have_nothing_to_learn_from(
    tmp_path: Path, place: DataPlace, paint: Callable[..., Path]
) -> None:
    rows = [f"{label}{number}.png,{label},test" for label in "ab" for number in range(3)]
    for row in rows:
        paint(tmp_path / row.partition(",")[0])
    (tmp_path / "a0.png").write_text("no picture")
    (tmp_path / "all.csv").write_text("\n".join(["path,label,split", *rows]), encoding="utf-8")
    listing = list_manifest(tmp_path / "all.csv", place.cache)
    found = collect(listing, replace(place, broken="any"), DecodeRecipe(), mirror=False)
    assert (len(found.train), len(found.parts()["test"])) == (0, 5)


@pytest.mark.parametrize("values", [(5, 5), (10, 5), (0, 65_536), (-1, 5), (1,), (0, 1, 2)])
def test_a_value_range_without_two_ends_is_refused(values: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="a value range is a lowest and a highest value"):
        DecodeRecipe(value_range=values)


def test_pictures_that_are_all_black_are_told(tmp_path: Path, place: DataPlace) -> None:
    for label in ("a", "b"):
        for number in range(3):
            (tmp_path / label).mkdir(exist_ok=True)
            Image.new("L", (8, 8), number).save(tmp_path / label / f"{number}.png")  # masks of three classes
    notes = collect(list_folder(tmp_path), place, DecodeRecipe(), mirror=False).notes
    assert any("the highest value is 2 of 255: all black, as masks of classes are" in note for note in notes)


def colours_of_16_bits(path: Path, top: int) -> None:
    """Write a PNG that Pillow itself cannot write: three channels of 16 bits, with values from 0 to ``top``."""
    values = np.linspace(0, top, 8 * 8 * 3).astype(">u2").reshape(8, -1)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0))
    rows = zlib.compress(b"".join(b"\0" + row.tobytes() for row in values))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", rows) + chunk(b"IEND", b""))


@pytest.mark.parametrize(
    ("top", "told"), [(4095, "so that 16 of 256 grey levels are left"), (200, "all black"), (65_000, "")]
)
def test_16_bit_colours_that_use_a_fraction_of_their_range_are_told_as_grey_ones_are(
    tmp_path: Path, place: DataPlace, top: int, told: str
) -> None:
    for label in ("a", "b"):
        (tmp_path / "satellite" / label).mkdir(parents=True)
        for number in range(4):
            colours_of_16_bits(tmp_path / "satellite" / label / f"{number}.png", top - number)
    for recipe in (DecodeRecipe(), DecodeRecipe(value_range=(0, 4095))):
        found = collect(list_folder(tmp_path / "satellite"), place, recipe, mirror=False)
        noted = "".join(note for note in found.notes if "16-bit" in note)
        assert told in noted
        assert bool(noted) == bool(told)
        assert "value_range reads grey ones only: save colours with 8 bits" in noted or not told
