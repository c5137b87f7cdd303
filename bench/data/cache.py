"""Decoded images on disk: one folder an entry, written beside its place, then renamed, so that it is whole or absent.

An entry is ``decoded/<key>/pixels.npy``, read as a memory map, and ``index.json`` (what could not be decoded, and why).
The key tells which files, as they were, were brought to which size; a changed file is a new entry.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from filelock import FileLock

from bench.contract import DataError, ImageShape

if TYPE_CHECKING:
    from bench.contract import Pixels

logger = logging.getLogger(__name__)

FOLDER = "decoded"
PIXELS, INDEX = "pixels.npy", "index.json"


def content_key(paths: Sequence[Path], facts: Mapping[str, object]) -> str:
    """Return the hex digest of what the files are (path, size, time of change) and of how they are to be decoded.

    Raises DataError for a file that does not exist.
    """
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for path in paths:
        try:
            found = path.stat()
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from error
        digest.update(os.fsencode(os.path.abspath(path)))
        digest.update(f"\0{found.st_size}\0{found.st_mtime_ns}\0".encode())
    return digest.hexdigest()[:32]


@contextmanager
def locked(cache: Path, key: str) -> Iterator[Path]:
    """Hold an entry against other processes, and give its folder, which need not exist yet."""
    folder = cache / FOLDER
    lock = FileLock(folder / f"{key}.lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise DataError(f"{folder}: the cache cannot be written ({error.strerror or error})") from error
    try:
        yield folder / key
    finally:
        lock.release()


def read_entry(entry: Path) -> tuple[Pixels, dict[int, str]] | None:
    """Return an entry's pixels, memory-mapped read-only, and the reason for each row left out; None if it is not there.

    An entry that is damaged all the same (a disk that lied about its writes) counts as not there.
    """
    if not entry.is_dir():
        return None
    try:
        pixels = np.load(entry / PIXELS, mmap_mode="r", allow_pickle=False)
        broken = {int(row): str(reason) for row, reason in json.loads((entry / INDEX).read_text("utf-8"))["broken"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.warning("%s: a damaged cache entry, decoding again (%s)", entry, error)
        return None
    return pixels, broken


@contextmanager
def fresh_entry(entry: Path) -> Iterator[Path]:
    """Give an empty folder to write an entry into; move it to its place if that ends well, else remove it.

    To be called with the entry locked: what a killed process has left is then nobody's, and is removed.
    """
    partial = entry.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir()
        yield partial
        if entry.exists():
            shutil.rmtree(entry)  # read_entry found it damaged; who still maps it keeps its pages
        partial.rename(entry)
        _sync_folder(entry.parent)
    except OSError as error:
        raise DataError(f"{entry}: the decoded images cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_index(folder: Path, broken: Mapping[int, str]) -> None:
    """Write what could not be decoded: the reason for each row of the list of files."""
    with (folder / INDEX).open("w", encoding="utf-8") as file:
        json.dump({"broken": list(broken.items())}, file)
        file.flush()
        os.fsync(file.fileno())


class PixelFile:
    """A ``.npy`` file written image by image, in order; its header gets the number of images when it is closed."""

    def __init__(self, path: Path, shape: ImageShape) -> None:
        self.count = 0
        self._shape = (shape.height, shape.width, shape.channels)
        self._file: BinaryIO = path.open("wb")
        self._write_header()
        self._start = self._file.tell()

    def add(self, picture: Pixels) -> None:
        """Append one image ``(height, width, 1 or 3)``; a grey one is repeated for each channel of the file."""
        self._file.write(np.ascontiguousarray(np.broadcast_to(picture, self._shape)).data)
        self.count += 1

    def finish(self) -> None:
        """Write the number of images into the header, and see all of it to the disk."""
        self._file.seek(0)
        self._write_header()
        if self._file.tell() != self._start:  # numpy leaves room for the number to grow in place
            raise DataError(f"{self._file.name}: numpy changed the length of its header")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()

    def _write_header(self) -> None:
        facts = {"descr": "|u1", "fortran_order": False, "shape": (self.count, *self._shape)}
        np.lib.format.write_array_header_1_0(self._file, facts)


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":  # elsewhere a folder cannot be opened
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
