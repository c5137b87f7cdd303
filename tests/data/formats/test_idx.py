"""IDX files are read exactly, and what is wrong with one is said in a line."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.contract import DataError
from bench.data.formats.archives import read_raw, unpack
from bench.data.formats.idx import pair, parse_idx

Idx = Callable[[NDArray[np.uint8]], bytes]
IMAGES = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
LABELS = np.array([2, 0, 1], np.uint8)


def read_pair(images: Path, labels: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    return pair((unpack(read_raw(images), images), images), (unpack(read_raw(labels), labels), labels))


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_images_and_labels_come_back_as_written(tmp_path: Path, idx: Idx, pack: Callable[[bytes], bytes]) -> None:
    (tmp_path / "images").write_bytes(pack(idx(IMAGES)))
    (tmp_path / "labels").write_bytes(pack(idx(LABELS)))
    images, labels = read_pair(tmp_path / "images", tmp_path / "labels")
    assert images.shape == (3, 4, 5, 1)
    assert images.dtype == labels.dtype == np.uint8
    np.testing.assert_array_equal(images[..., 0], IMAGES)
    np.testing.assert_array_equal(labels, LABELS)
    assert not images.flags.writeable


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda good: b"<!DOCTYPE html>", "not an IDX file of images (it begins with b'<!DOCTYP')"),
        (lambda good: b"", "not an IDX file"),
        (lambda good: b"\0\0\x0d" + good[3:], "holds float32 (type code 0x0d)"),
        (lambda good: good[:10], "truncated within its header (10 of 16 bytes)"),
        (lambda good: good[:-7], "truncated: 7 bytes are missing for the 3x4x5 values"),
        (lambda good: good + b"xx", "too long: 2 bytes too many"),
    ],
)
def test_a_spoilt_file_is_refused_with_its_name_and_the_reason(
    idx: Idx, spoil: Callable[[bytes], bytes], reason: str
) -> None:
    with pytest.raises(DataError) as caught:
        parse_idx(spoil(idx(IMAGES)), Path("some/train-images"), 3)
    message = str(caught.value)
    assert message.startswith("some/train-images: ")
    assert reason in message
    assert "\n" not in message


def test_labels_in_place_of_images_are_recognised(idx: Idx) -> None:
    with pytest.raises(DataError, match=r"holds labels \(1 dimensions\).*swapped"):
        parse_idx(idx(LABELS), Path("x"), 3)


def test_different_numbers_of_images_and_labels_are_refused(tmp_path: Path, idx: Idx) -> None:
    (tmp_path / "images").write_bytes(idx(IMAGES))
    (tmp_path / "labels").write_bytes(idx(LABELS[:2]))
    with pytest.raises(DataError, match=r"holds 3 images, but .* 2 labels"):
        read_pair(tmp_path / "images", tmp_path / "labels")


def test_a_gzip_file_that_was_cut_off_is_refused(tmp_path: Path, idx: Idx) -> None:
    (tmp_path / "images.gz").write_bytes(gzip.compress(idx(IMAGES))[:-9])
    with pytest.raises(DataError, match=r"images\.gz: a damaged gzip file"):
        read_pair(tmp_path / "images.gz", tmp_path / "labels")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere: cannot be read .*No such file"):
        read_pair(tmp_path / "nowhere", tmp_path / "labels")
