"""Own pictures, embedded once: what was added, changed or deleted since is noticed, and only that is embedded."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from bench.app.gallery_index import Index, index_path, read_index, write_index
from bench.app.preparation import Preparation
from bench.app.search import Items
from bench.contract import DataError, Progress
from bench.data.folder import walk
from bench.data.image_source import UnreadableImageError
from bench.data.threaded import map_in_order
from bench.evaluation.arrays import Ints
from bench.runs.trained_run import TrainedRun

_BATCH = 256  # images embedded at once
_SAVE_EVERY = 60.0  # seconds of embedding that a kill costs at most


@dataclass(frozen=True)
class Changes:
    """How many files of each kind this start met; ``kept`` ones were not read again."""

    kept: int
    added: int
    changed: int
    deleted: int

    @property
    def any(self) -> bool:
        return bool(self.added or self.changed or self.deleted)


@dataclass(frozen=True)
class OwnGallery:
    """The pictures of a folder, ready to be searched.

    items: names are paths relative to ``root``, labels the names of the folders that the files lie in (None directly
    in ``root``). broken: (name, reason) of every file that could not be read.
    """

    root: Path
    items: Items
    broken: tuple[tuple[str, str], ...]
    changes: Changes

    def name_of(self, path: Path) -> str | None:
        """Return the name of a file where it is one of the pictures, else None."""
        whole = Path(os.path.abspath(path))
        if not whole.is_relative_to(self.root):
            return None
        name = whole.relative_to(self.root).as_posix()
        return name if name in self.items.names else None


def open_gallery(
    folder: Path, run: TrainedRun, cache: Path, progress: Progress, log: Callable[[str], None]
) -> OwnGallery:
    """Embed a folder's pictures with a run's method, or take them from the cache where nothing has changed.

    A file has changed if its size, or its time of content or of status has. What is embedded is kept once a minute and
    at the end, also of an interrupt, and the next start goes on from there. A second process waits for the first.
    Raises DataError for a folder without a readable picture.
    """
    root = Path(os.path.abspath(folder.expanduser()))
    if not root.is_dir():
        raise DataError(f"{folder}: {'a file, not a folder' if root.exists() else 'no such folder'}")
    path = index_path(cache, run.record, root)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            old = read_index(path) or Index.empty(run.dimension)
            index, changes = _updated(old, root, run, path, progress=progress, log=log)
    except OSError as error:
        raise DataError(f"{path.parent}: the cache cannot be written ({error.strerror or error})") from error
    good = [row for row, reason in enumerate(index.reasons) if not reason]
    broken = tuple((index.names[row], reason) for row, reason in enumerate(index.reasons) if reason)
    if not good:
        why = f": {broken[0][0]} ({broken[0][1]})" if broken else ""
        raise DataError(f"{folder}: no picture in it can be read{why}")
    names = index.names if not broken else [index.names[row] for row in good]
    vectors = index.vectors if not broken else index.vectors[good]
    return OwnGallery(root, Items(vectors, names, [_label(name) for name in names]), broken, changes)


def scan(root: Path) -> tuple[list[str], Ints]:
    """Return the image files under a folder, in natural order: relative names, and their state, int64 ``(n, 3)``.

    State: bytes, and nanoseconds of the last change of content and of status; zeros where there is nothing to look at.
    """
    prefix = os.path.join(root, "")
    names, states = [], []
    for path, image in walk(root):
        if not image:
            continue
        names.append(path.removeprefix(prefix).replace(os.sep, "/"))
        try:
            about = os.stat(path)
            states.append((about.st_size, about.st_mtime_ns, about.st_ctime_ns))
        except OSError:  # gone meanwhile, or a link to nothing: reading it will say so
            states.append((0, 0, 0))
    return names, np.array(states, np.int64).reshape(-1, 3)


def _updated(
    old: Index, root: Path, run: TrainedRun, path: Path, *, progress: Progress, log: Callable[[str], None]
) -> tuple[Index, Changes]:
    """Return the index of the folder as it is now, and keep it if it differs from the old one."""
    names, state = scan(root)
    if old.names == names and np.array_equal(old.state, state):
        return old, Changes(len(names), 0, 0, 0)
    index, done, changes = _carried_over(old, names, state)
    todo = np.flatnonzero(~done)
    if len(todo):
        log(f"{root}: {len(todo):,} pictures to embed, {changes.kept:,} known")
    saved = time.monotonic()
    try:
        for rows in _embed(index, todo, root, run, progress):
            done[rows] = True
            if time.monotonic() - saved > _SAVE_EVERY:
                write_index(path, index.only(done))
                saved = time.monotonic()
    finally:
        write_index(path, index.only(done))
    return index, changes


def _carried_over(old: Index, names: list[str], state: Ints) -> tuple[Index, NDArray[np.bool_], Changes]:
    """Return an index of the files as they are, which of its rows are known from the old one, and what has changed."""
    known = {name: row for row, name in enumerate(old.names)}
    source = np.array([known.get(name, -1) for name in names], np.int64)
    there = source >= 0
    same = there.copy()
    same[there] = (old.state[source[there]] == state[there]).all(axis=1)
    vectors = np.zeros((len(names), old.vectors.shape[1]), np.float32)
    vectors[same] = old.vectors[source[same]]
    reasons = [old.reasons[row] if kept else "" for row, kept in zip(source.tolist(), same.tolist(), strict=True)]
    kept, met = int(same.sum()), int(there.sum())
    changes = Changes(kept, added=len(names) - met, changed=met - kept, deleted=len(old.names) - met)
    return Index(names, state, reasons, vectors), same, changes


def _embed(index: Index, todo: Ints, root: Path, run: TrainedRun, progress: Progress) -> Iterator[Ints]:
    """Fill in the vectors or the reasons of some rows, and yield the rows that are done, a batch at a time."""
    read = partial(_read, root, Preparation(run.shape, run.resize))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")  # of odd files; those that cannot be decoded are reported
        pictures = map_in_order(read, [index.names[row] for row in todo])
        told = iter(progress(pictures, total=len(todo), what="embed"))
        for first in range(0, len(todo), _BATCH):
            rows = todo[first : first + _BATCH]
            batch = [next(told) for _ in rows]
            good = [place for place, picture in enumerate(batch) if not isinstance(picture, str)]
            for row, picture in zip(rows.tolist(), batch, strict=True):
                index.reasons[row] = picture if isinstance(picture, str) else ""
            if good:
                index.vectors[rows[good]] = run.embed(np.stack([batch[place] for place in good]))
            yield rows


def _read(root: Path, preparation: Preparation, name: str) -> np.ndarray | str:
    try:
        return preparation.file(os.path.join(root, name))
    except UnreadableImageError as error:
        return str(error) or "cannot be read"


def _label(name: str) -> str | None:
    return name.rpartition("/")[0].rpartition("/")[2] or None  # a Path for each takes half of a second start
