"""What the tests of data share: a place to work in, and small files in the exact formats."""

from __future__ import annotations

import functools
import http.server
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bench.contract import Collection, DataPlace, Images, Split

Paint = Callable[..., Path]
Idx = Callable[[NDArray[np.uint8]], bytes]
MakeSplit = Callable[..., Split]
MakeCollection = Callable[..., Collection]


@pytest.fixture
def place(tmp_path: Path) -> DataPlace:
    return DataPlace(root=tmp_path / "root", cache=tmp_path / "cache", download=False)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    """A mirror on this machine: its address, which ends in a slash, and the folder it serves."""
    monkeypatch.setenv("no_proxy", "*")
    folder = tmp_path / "served"
    folder.mkdir()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", folder
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def paint() -> Paint:
    """Save a small image of one colour, of any mode and format, with its folders."""

    def save(path: Path, colour: object = (200, 30, 60), *, size: tuple[int, int] = (8, 8), mode: str = "RGB") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new(mode, size, colour).save(path)  # type: ignore[arg-type] # a colour is a number or a tuple
        return path

    return save


@pytest.fixture
def idx() -> Idx:
    def write(values: NDArray[np.uint8]) -> bytes:
        head = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
        return head + values.tobytes()

    return write


@pytest.fixture
def make_split() -> MakeSplit:
    """A split whose images are 2x2 and show their own number, with the labels given."""

    def make(labels: list[int], prefix: str = "") -> Split:
        pixels = np.repeat(np.arange(len(labels), dtype=np.uint8), 4).reshape(-1, 2, 2, 1)
        ids = np.array([f"{prefix}{number}" for number in range(len(labels))], np.str_)
        return Split(Images(pixels), np.array(labels, np.int64), ids)

    return make


@pytest.fixture
def make_collection(make_split: MakeSplit) -> MakeCollection:
    def make(classes: int = 3, **labels: list[int]) -> Collection:
        parts = {name: make_split(numbers, f"{name}/") for name, numbers in labels.items()}
        return Collection(
            "toy",
            tuple(f"class {n}" for n in range(classes)),
            mirror=False,
            train=parts["train"],
            validation=parts.get("validation"),
            test=parts.get("test"),
            query=parts.get("query"),
            gallery=parts.get("gallery"),
        )

    return make
