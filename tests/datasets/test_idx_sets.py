"""MNIST, KMNIST and EMNIST load from files in their published formats, and refuse others in one line."""

from __future__ import annotations

import gzip
import struct
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.contract import DataError, DataPlace
from bench.options import build
from bench.registry import get_dataset

SIZES = {"train": 30, "t10k": 10}


def idx(values: NDArray[np.uint8]) -> bytes:
    return bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def numbered(n: int) -> tuple[bytes, bytes]:
    """Images that show their number, and labels that are it modulo ten."""
    numbers = np.arange(n, dtype=np.uint8)
    return idx(np.broadcast_to(numbers[:, None, None], (n, 28, 28)).copy()), idx(numbers % 10)


@pytest.fixture(params=["mnist", "kmnist"])
def small(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, md5: Callable[[bytes], str]
) -> tuple[Any, dict[str, bytes]]:
    """The loader's class, expecting four small files, and those files, gzipped."""
    cls: Any = get_dataset(request.param)
    files = {}
    for prefix, n in SIZES.items():
        images, labels = numbered(n)
        files[f"{prefix}-images-idx3-ubyte.gz"] = gzip.compress(images)
        files[f"{prefix}-labels-idx1-ubyte.gz"] = gzip.compress(labels)
    expected = tuple(replace(file, md5=md5(files[file.published])) for file in cls.upstream.files)
    monkeypatch.setattr(cls, "upstream", replace(cls.upstream, files=expected))
    return cls, files


def test_the_four_files_give_images_labels_and_ids(
    place: DataPlace, small: tuple[Any, dict[str, bytes]], tmp_path: Path
) -> None:
    cls, files = small
    folder = tmp_path / "root" / cls.__name__ / "raw"
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    collection = cls().load(place)
    assert collection.name == cls.upstream.dataset
    assert not collection.mirror
    assert len(collection.classes) == 10
    assert (len(collection.train), len(collection.test)) == (30, 10)
    assert (collection.train.ids[17], collection.train.labels[17]) == ("train/00017", 7)
    assert (collection.train.images.take(np.array([17])) == 17).all()
    assert cls().fetch(place) == folder


@pytest.mark.parametrize("harm", ["cut", "other"])
def test_a_cut_off_or_other_file_is_refused_in_one_line(
    place: DataPlace, small: tuple[Any, dict[str, bytes]], tmp_path: Path, harm: str
) -> None:
    cls, files = small
    for name, content in files.items():
        (tmp_path / "root" / name).write_bytes(content)
    where = tmp_path / "root" / "t10k-images-idx3-ubyte.gz"
    where.write_bytes(where.read_bytes()[:-9] if harm == "cut" else gzip.compress(numbered(10)[0] + b"more"))
    folder = tmp_path / "root" / cls.upstream.dataset
    folder.mkdir()
    for path in (tmp_path / "root").glob("*.gz"):
        path.rename(folder / path.name)
    with pytest.raises(DataError, match=r"t10k-images.*simbench fetch") as caught:
        cls().load(place)
    assert "\n" not in str(caught.value)


def test_unpacked_files_are_read_with_a_warning_that_no_checksum_is_known(
    place: DataPlace, small: tuple[Any, dict[str, bytes]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cls, files = small
    folder = tmp_path / "root" / cls.upstream.dataset
    folder.mkdir()
    for name, content in files.items():
        (folder / name.removesuffix(".gz")).write_bytes(gzip.decompress(content))
    assert len(cls().load(place).train) == 30
    assert "only its structure is checked" in caplog.text


@pytest.mark.parametrize("name", ["mnist", "kmnist"])
def test_the_md5_sums_are_those_that_torchvision_publishes(name: str) -> None:
    from torchvision import datasets

    cls: Any = get_dataset(name)
    assert {file.published: file.md5 for file in cls.upstream.files} == dict(getattr(datasets, name.upper()).resources)


@pytest.mark.parametrize("name", ["mnist", "kmnist", "emnist", "cifar10", "cifar100", "svhn", "stl10"])
def test_the_addresses_are_those_that_torchvision_downloads_from(name: str) -> None:
    from torchvision import datasets

    theirs = getattr(datasets, name.upper())
    if name in ("mnist", "kmnist"):
        addresses = [f"{mirror}{theirs.resources[0][0]}" for mirror in theirs.mirrors]
    else:
        addresses = [theirs.split_list["train"][0] if name == "svhn" else theirs.url]
    ours = sys.modules[get_dataset(name).__module__].mirrors()
    assert list(ours) == [address.rpartition("/")[0] + "/" for address in addresses]


def emnist_zip(first: int, split: str) -> dict[str, bytes]:
    """EMNIST's archive of one split: transposed images with one bright pixel in row 3, column 20 when upright."""
    members = {}
    for part, n in (("train", 6), ("test", 4)):
        images = np.zeros((n, 28, 28), np.uint8)
        images[:, 20, 3] = 255
        labels = (np.arange(n) + first).astype(np.uint8)
        members[f"gzip/emnist-{split}-{part}-images-idx3-ubyte.gz"] = gzip.compress(idx(images))
        members[f"gzip/emnist-{split}-{part}-labels-idx1-ubyte.gz"] = gzip.compress(idx(labels))
    return members


Zipped = Callable[[Path, Mapping[str, bytes]], bytes]


@pytest.fixture
def emnist(monkeypatch: pytest.MonkeyPatch, zipped: Zipped, md5: Callable[[bytes], str], tmp_path: Path) -> Any:
    """Put an archive under the data root, and let the loader expect it."""
    cls: Any = get_dataset("emnist")

    def put(members: Mapping[str, bytes]) -> Any:
        content = zipped(tmp_path / "root" / "EMNIST" / "raw" / "gzip.zip", members)
        expected = (replace(cls.upstream.files[0], md5=md5(content)),)
        monkeypatch.setattr(cls, "upstream", replace(cls.upstream, files=expected))
        return cls

    return put


@pytest.mark.parametrize(
    ("split", "first", "classes"),
    [
        ("balanced", 0, 47),
        ("byclass", 0, 62),
        ("bymerge", 0, 47),
        ("letters", 1, 26),
        ("digits", 0, 10),
        ("mnist", 0, 10),
    ],
)
def test_emnist_stands_upright_in_every_split(
    place: DataPlace, emnist: Any, split: str, first: int, classes: int
) -> None:
    cls = emnist(emnist_zip(first, split))
    collection = build(cls, {"split": split}, owner="emnist").load(place)
    assert collection.name == f"emnist-{split}"
    assert len(collection.classes) == classes
    assert (len(collection.train), len(collection.test)) == (6, 4)
    assert collection.train.labels.tolist() == [0, 1, 2, 3, 4, 5]
    pixels = collection.train.images.take(slice(None))
    assert (pixels[:, 3, 20, 0] == 255).all()
    assert pixels.astype(int).sum() == 6 * 255
    assert not collection.mirror


def test_emnists_class_names_are_torchvisions() -> None:
    from torchvision.datasets import EMNIST

    cls: Any = get_dataset("emnist")
    ours = sys.modules[cls.__module__].CLASSES
    for split, names in EMNIST.classes_split_dict.items():
        assert list(ours[split]) == [name for name in names if name != "N/A"]
    assert cls.upstream.files[0].md5 == EMNIST.md5


def test_an_emnist_archive_with_other_content_is_refused(place: DataPlace, emnist: Any) -> None:
    cls = emnist(emnist_zip(0, "balanced"))
    path = place.root / "EMNIST" / "raw" / "gzip.zip" if place.root else Path()
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"gzip\.zip: not emnist's gzip\.zip: it has not the md5"):
        cls().load(place)


def test_an_emnist_archive_without_the_split_is_refused(place: DataPlace, emnist: Any) -> None:
    cls = emnist(emnist_zip(0, "digits"))
    with pytest.raises(DataError, match="lacks emnist-balanced-test-images"):
        cls().load(place)
