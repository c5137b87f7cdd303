"""The file in the cache that remembers a folder's pictures, their state and vectors, and its renewal."""

from __future__ import annotations

import hashlib
import logging
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import PIL
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from bench.contract import Progress
from bench.data.decoding.cache import GALLERIES
from bench.data.decoding.image_source import UnreadableImageError
from bench.data.decoding.worker_pool import map_in_order
from bench.evaluation.ranking.arrays import Ints, Vectors
from bench.files import digest_of_arrays, write_bytes
from bench.search.preparation import Preparation

if TYPE_CHECKING:
    from bench.contract import ImageShape, Pixels, Resize

logger = logging.getLogger(__name__)

FORMAT = 2  # to be raised when the same pictures would give other vectors than before
BATCH = 256  # images embedded at once
SAVE_EVERY = 60.0  # seconds of embedding that a kill costs at most
Map = Callable[[Callable[[str], Any], list[str]], Iterable[Any]]  # `map`, or one in threads


@dataclass(frozen=True)
class Index:
    """One row a file. names: relative to the folder; state: int64 ``(n, 3)``; reasons: why a file has no vector, or "".

    vectors: unit float32 ``(n, d)``, zero where there is a reason.
    """

    names: list[str]
    state: Ints
    reasons: list[str]
    vectors: Vectors

    @classmethod
    def empty(cls, dimension: int) -> Index:
        return cls([], np.zeros((0, 3), np.int64), [], np.zeros((0, dimension), np.float32))

    def only(self, rows: NDArray[np.bool_]) -> Index:
        """Return the rows that a mask chooses; the index itself if it chooses all."""
        if rows.all():
            return self
        chosen = rows.tolist()
        names, reasons = list(compress(self.names, chosen)), list(compress(self.reasons, chosen))
        return Index(names, self.state[rows], reasons, self.vectors[rows])


class Embedder(Protocol):
    """What embeds a folder: a run, or a method that needs none. identity: tells its vectors from all others'."""

    @property
    def identity(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    @property
    def shape(self) -> ImageShape: ...

    @property
    def resize(self) -> Resize: ...

    def embed(self, pixels: Pixels) -> Vectors: ...


def index_path(cache: Path, identity: str, root: Path) -> Path:
    """Return where the index of a folder for a run lies; another run, or the same one run again, has another."""
    digest = hashlib.sha256(f"{FORMAT} {PIL.__version__}\0".encode())
    digest.update(identity.encode())
    digest.update(b"\0" + os.fsencode(root))
    return cache / GALLERIES / f"{digest.hexdigest()[:32]}.safetensors"


def read_index(path: Path) -> Index | None:
    """Return what ``write_index`` wrote, or None if there is nothing, or nothing that can be used."""
    try:
        return verified_index(path)
    except FileNotFoundError:
        return None
    except DAMAGED as error:
        logger.warning("%s: a damaged index of pictures, embedding them again (%s)", path, error)
        return None


DAMAGED = (OSError, SafetensorError, ValueError, KeyError)


def verified_index(path: Path) -> Index:
    """Return what ``write_index`` wrote. Raises one of DAMAGED where it is not that."""
    with safe_open(path, framework="np") as file:
        held = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        facts = file.metadata() or {}
    if facts.pop("digest", None) != digest_of_arrays(facts, held):
        raise ValueError("it is not what was written")
    if facts.get("owner") != _owner(path):
        raise ValueError("it is another run's, or another folder's")
    index = Index(_texts(held["names"]), held["state"], _texts(held["reasons"]), held["vectors"])
    n = len(index.names)
    if index.state.shape != (n, 3) or len(index.reasons) != n or len(index.vectors) != n:
        raise ValueError("its parts have different lengths")
    return index


def write_index(path: Path, index: Index) -> None:
    """Write an index whole or not at all."""
    arrays: dict[str, NDArray[Any]] = {
        "names": _bytes(index.names),
        "state": index.state,
        "reasons": _bytes(index.reasons),
        "vectors": np.ascontiguousarray(index.vectors),
    }
    facts = {"owner": _owner(path)}
    write_bytes(path, safetensors.numpy.save(arrays, {**facts, "digest": digest_of_arrays(facts, arrays)}))


def _owner(path: Path) -> str:
    """Return whose file it is: its name, which `index_path` makes of the run and the folder; for a shard with its key.

    As the file has it inside, one that lies under another's name is noticed.
    """
    shards = path.parent.parent
    return f"{shards.stem}/{path.parent.name}" if shards.suffix == ".shards" else path.stem


def _bytes(texts: Sequence[str]) -> NDArray[np.uint8]:
    """Pack texts without a zero byte, which file names cannot have; each ends with one."""
    return np.frombuffer(os.fsencode("".join(f"{text}\0" for text in texts)), np.uint8)


def _texts(packed: NDArray[np.uint8]) -> list[str]:
    return os.fsdecode(packed.tobytes()).split("\0")[:-1]


class IndexBuilder:
    """The index of files as they are now, being filled. done: a mask of the rows whose vectors, or reasons, are in it.

    names: relative to the folder; state: int64 ``(n, 3)``, as `bench.search.gallery.scan` returns both.
    """

    def __init__(self, names: list[str], state: Ints, dimension: int) -> None:
        vectors = np.zeros((len(names), dimension), np.float32)
        self.index = Index(names, state, [""] * len(names), vectors)
        self.done = np.zeros(len(names), np.bool_)
        self._rows = {name: row for row, name in enumerate(names)}

    @property
    def missing(self) -> Ints:
        """The rows that are not done, int64."""
        return np.flatnonzero(~self.done).astype(np.int64, copy=False)

    def take_over(self, part: Index) -> int:
        """Take over the rows of files that are the same in another index, and return how many of its names are here."""
        rows = np.array([self._rows.get(name, -1) for name in part.names], np.int64)
        there = np.flatnonzero(rows >= 0)
        same = there[(part.state[there] == self.index.state[rows[there]]).all(axis=1)]
        self.index.vectors[rows[same]] = part.vectors[same]
        self.done[rows[same]] = True
        for row, source in zip(rows[same].tolist(), same.tolist(), strict=True):
            self.index.reasons[row] = part.reasons[source]
        return len(there)

    def save(self, path: Path) -> None:
        """Write what is done."""
        write_index(path, self.index.only(self.done))

    def embed(
        self, root: Path, run: Embedder, path: Path, progress: Progress, *, map_files: Map = map_in_order
    ) -> None:
        """Embed the rows that are not done, and write what is once a minute and at the end, also of an interrupt.

        map_files: how files are read, one after another or in threads.
        """
        saved = time.monotonic()
        try:
            for rows in self._embedded(root, run, progress, map_files):
                self.done[rows] = True
                if time.monotonic() - saved > SAVE_EVERY:
                    self.save(path)
                    saved = time.monotonic()
        finally:
            self.save(path)

    def _embedded(self, root: Path, run: Embedder, progress: Progress, map_files: Map) -> Iterator[Ints]:
        """Fill in the rows that are not done, and yield those that are then, a batch at a time."""
        todo, index = self.missing, self.index
        names = [index.names[row] for row in todo]
        read_files = read_pictures(root, names, Preparation.of(run.shape, run.resize), map_files)
        pictures = iter(progress(read_files, total=len(todo), what="embed"))
        for first in range(0, len(todo), BATCH):
            rows = todo[first : first + BATCH]
            found = [next(pictures) for _ in rows]
            good = [place for place, picture in enumerate(found) if not isinstance(picture, str)]
            for row, picture in zip(rows.tolist(), found, strict=True):
                index.reasons[row] = picture if isinstance(picture, str) else ""
            if good:
                index.vectors[rows[good]] = run.embed(np.stack([found[place] for place in good]))
            yield rows


def read_pictures(
    root: Path, names: list[str], preparation: Preparation, map_files: Map = map_in_order
) -> Iterator[Pixels | str]:
    """Yield the pictures of a folder, prepared, in the order of their names; for one that cannot be read, why."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")  # of odd files; those that cannot be decoded are reported
        yield from map_files(partial(_read, root, preparation), names)


def _read(root: Path, preparation: Preparation, name: str) -> Pixels | str:
    try:
        return preparation.file(os.path.join(root, name))
    except UnreadableImageError as error:
        return str(error) or "cannot be read"
