"""FashionMNIST loads from every place it may lie in, and says how to provide it where it does not."""

from __future__ import annotations

import gzip
import hashlib
import socket
import struct
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.contract import DataError, DataPlace, Fetches, ImageShape, Loader
from bench.registry import get_dataset

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
SIZES = {"train": 30, "t10k": 10}


def idx(values: NDArray[np.uint8]) -> bytes:
    return bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def small_files() -> dict[str, bytes]:
    """The four files with a few images: each shows its number, and its label is that modulo ten."""
    files = {}
    for prefix, n in SIZES.items():
        numbers = np.arange(n, dtype=np.uint8)
        files[f"{prefix}-images-idx3-ubyte"] = idx(np.broadcast_to(numbers[:, None, None], (n, 28, 28)).copy())
        files[f"{prefix}-labels-idx1-ubyte"] = idx(numbers % 10)
    return files


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Let the loader expect the small files, and not look into the system's folders."""
    files, cls = small_files(), loader_class()
    expected = tuple(
        replace(
            file,
            md5=hashlib.md5(gzip.compress(files[file.name], mtime=0)).hexdigest(),
            sha256=hashlib.sha256(files[file.name]).hexdigest(),
        )
        for file in cls.upstream.files
    )
    monkeypatch.setattr(cls, "upstream", replace(cls.upstream, files=expected, distribution=()))
    return files


def loader_class() -> Any:
    return get_dataset("fashionmnist")


def test_it_is_a_loader_that_fetches() -> None:
    loader = loader_class()()
    assert isinstance(loader, Loader)
    assert isinstance(loader, Fetches)


@pytest.mark.parametrize("gz", [True, False], ids=["gzipped", "plain"])
@pytest.mark.parametrize("folder", ["root/FashionMNIST/raw", "root/fashion-mnist", "root", "cache/fashionmnist"])
def test_it_loads_from_torchvisions_folders_and_ours(
    place: DataPlace, small: dict[str, bytes], tmp_path: Path, folder: str, gz: bool
) -> None:
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    for name, content in small.items():
        (tmp_path / folder / (f"{name}.gz" if gz else name)).write_bytes(gzip.compress(content) if gz else content)
    collection = loader_class()().load(place)
    assert collection.name == "fashionmnist"
    assert collection.classes[0] == "T-shirt/top"
    assert collection.classes[9] == "Ankle boot"
    assert collection.mirror
    assert set(collection.parts()) == {"train", "test"}
    assert collection.test is not None
    assert (len(collection.train), len(collection.test)) == (30, 10)
    assert collection.train.ids[17] == "train/00017"
    assert collection.test.ids[3] == "test/00003"
    assert collection.train.labels[17] == 7
    assert (collection.train.images.take(np.array([17])) == 17).all()
    assert loader_class()().fetch(place) == tmp_path / folder


def test_a_wrong_file_is_refused_with_its_name(place: DataPlace, small: dict[str, bytes]) -> None:
    folder = place.cache / "fashionmnist"
    folder.mkdir(parents=True)
    for name, content in small.items():
        (folder / name).write_bytes(content[:-1] + b"\xff" if name.startswith("t10k-images") else content)
    for act in (loader_class()().load, loader_class()().fetch):
        with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte: not .*run `simbench fetch fashionmnist`"):
            act(place)


def test_offline_the_error_comes_at_once_and_names_every_way_out(
    place: DataPlace, small: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.datasets import FashionMNIST as Torchvision

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        refusing = f"http://127.0.0.1:{free.getsockname()[1]}/"
    monkeypatch.setattr(Torchvision, "mirrors", [refusing])
    monkeypatch.setenv("no_proxy", "*")
    start = time.monotonic()
    with pytest.raises(DataError) as caught:
        loader_class()().load(replace(place, download=True))
    assert time.monotonic() - start < 10
    for words in (
        "simbench fetch fashionmnist",
        "--data-root",
        "SIMBENCH_DATA",
        "apt-get install dataset-fashion-mnist",
    ):
        assert words in str(caught.value)


def test_the_md5_sums_are_those_that_torchvision_publishes() -> None:
    from torchvision.datasets import FashionMNIST as Torchvision

    ours = {f"{file.name}.gz": file.md5 for file in loader_class().upstream.files}
    assert ours == dict(Torchvision.resources)


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="the Debian package dataset-fashion-mnist is not installed")
def test_debians_files_are_the_published_data_set(place: DataPlace) -> None:
    collection = loader_class()().load(place)
    assert collection.test is not None
    assert (len(collection.train), len(collection.test)) == (60_000, 10_000)
    assert collection.train.images.shape == ImageShape(28, 28, 1)
    for part in (collection.train, collection.test):
        assert np.bincount(part.labels).tolist() == [len(part) // 10] * 10
    assert collection.classes[collection.train.labels[0]] == "Ankle boot"  # as every tutorial shows
