"""Pictures in files at any size: decoded once a size and when they are asked for, and always the same files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench.contract import DataError, DataPlace, Dataset, Resize
from bench.data.audit.audit import audit, without_leaks
from bench.data.decoding.decode import DecodeRecipe, decode_files
from bench.data.decoding.file_pixels import FilePixels
from bench.data.layouts.folder import list_folder
from bench.data.layouts.listing import collect
from bench.data.splits.protocols import build_dataset

Paint = Callable[..., Path]


def entries(place: DataPlace) -> int:
    """How many sizes of anything are decoded."""
    return len(list((place.cache / "decoded").glob("*/pixels.npy")))


@pytest.fixture
def data(tmp_path: Path, place: DataPlace, paint: Paint) -> Dataset:
    """Two classes of pictures, none of the same size; the first two are the same picture, one in train, one in test."""
    for part in ("train", "test"):
        for label, name in enumerate(("cat", "dog")):
            for number in range(3):
                colour = (90 * label, 40 * number + (20 if part == "test" and number else 0), 7)
                paint(tmp_path / "own" / part / name / f"{number}.png", colour, size=(80 + number, 100))
    return build_dataset(collect(list_folder(tmp_path / "own"), place, DecodeRecipe(), mirror=False), "loo")


def test_pictures_are_decoded_at_a_size_when_they_are_asked_for_and_only_then(data: Dataset, place: DataPlace) -> None:
    larger = data.at((40, 30))
    assert (str(larger.shape), larger.resize) == ("40x30x3", Resize(40, 30))
    assert entries(place) == 1  # as they were loaded
    taken = larger.query.images.take(np.array([1]))
    assert entries(place) == 2
    file = next((place.cache.parent / "own" / "test" / "cat").glob("1.png"))
    alone = decode_files([file], DataPlace(None, place.cache / "other"), DecodeRecipe((40, 30)))
    np.testing.assert_array_equal(taken, alone.pixels)


def test_one_size_is_decoded_once_for_all_that_want_it(
    data: Dataset, place: DataPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = data.at((40, 40))
    pixels = first.train.images.pixels
    monkeypatch.setattr("bench.data.decoding.file_pixels.decode_files", lambda *_, **__: pytest.fail("decoded again"))
    again = data.at((40, 40))
    assert again.query.images.pixels is pixels
    assert again.at((40, 40)).gallery.images.pixels is pixels
    assert data.at((64, 64)).query.images.source is data.query.images.source
    assert again.query is again.gallery  # leave-one-out stays one


def test_the_fingerprint_is_of_the_files_and_not_of_a_size(data: Dataset, place: DataPlace, paint: Paint) -> None:
    root = place.cache.parent / "own"
    assert data.at((224, 224)).fingerprint == data.fingerprint
    other = build_dataset(collect(list_folder(root), place, DecodeRecipe((9, 9), "pad"), mirror=False), "loo")
    assert other.fingerprint == data.fingerprint
    paint(root / "test" / "cat" / "1.png", (1, 2, 3), size=(81, 100))
    changed = build_dataset(collect(list_folder(root), place, DecodeRecipe(), mirror=False), "loo")
    assert changed.fingerprint != data.fingerprint


def test_another_decoder_s_pixels_are_other_data(
    data: Dataset, place: DataPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {data.fingerprint}
    for name in ("one on cpu", "one on cuda"):
        monkeypatch.setattr("bench.data.decoding.file_pixels.decoder_in", lambda place, name=name: name)
        again = collect(list_folder(place.cache.parent / "own"), place, DecodeRecipe(), mirror=False)
        found.add(build_dataset(again, "loo").fingerprint)
    assert len(found) == 3


def test_a_file_that_changed_since_it_was_loaded_is_named(data: Dataset, place: DataPlace, paint: Paint) -> None:
    paint(place.cache.parent / "own" / "test" / "cat" / "1.png", (1, 2, 3), size=(81, 100))
    with pytest.raises(DataError, match=r"cat.1\.png: changed since the data set was loaded"):
        data.at((40, 40)).query.images.take(slice(0, 1))


def test_copies_and_leaks_are_the_same_whatever_size_a_method_sees(data: Dataset, place: DataPlace) -> None:
    larger = data.at((96, 96))
    assert audit(larger) == audit(data)
    assert entries(place) == 1  # looked at as they were loaded
    clean, also = without_leaks(data), without_leaks(larger)
    assert len(clean.train) < len(data.train)
    assert also.fingerprint == clean.fingerprint
    assert str(also.shape) == "96x96x3"


def test_small_pictures_of_one_size_are_their_own(tmp_path: Path, place: DataPlace, paint: Paint) -> None:
    files = [str(paint(tmp_path / f"{number}.png", number, mode="L", size=(8, 6))) for number in range(3)]
    found = FilePixels.of(files, place, DecodeRecipe(), what="them")
    assert (found.own, found.shape, found.resize) == (True, (3, 6, 8, 1), Resize(6, 8))
    larger = found.at((12, 12))
    assert (larger.own, larger.shape, larger[0].shape) == (False, (3, 12, 12, 1), (12, 12, 1))
    assert larger.as_loaded is found
    np.testing.assert_array_equal(found.contents, larger.contents)
