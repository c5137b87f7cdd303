"""Own pictures, embedded once: what was added, changed or deleted since is noticed, and only that is embedded."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock

from bench.contract import DataError, Progress
from bench.data.layouts.folder import LabelFrom, label_of, parts_among, walk
from bench.environment import user_path
from bench.evaluation.ranking.arrays import Ints
from bench.search.gallery_index import Embedder, Index, IndexBuilder, index_path, read_index
from bench.search.search import Items


@dataclass(frozen=True)
class Changes:
    """How many files of each kind this start met; ``unchanged`` ones were not read again."""

    unchanged: int
    added: int
    changed: int
    deleted: int

    def __str__(self) -> str:
        words = f"{self.unchanged:,} kept, {self.added:,} new, {self.changed:,} changed, {self.deleted:,} gone"
        return f"{words}; {self.added + self.changed:,} embedded"

    @property
    def any(self) -> bool:
        return bool(self.added or self.changed or self.deleted)


@dataclass(frozen=True)
class OwnGallery:
    """The pictures of a folder, ready to be searched.

    items: names are paths relative to ``root``, labels as a run on the folder has them (None directly in ``root``; see
    `bench.data.layouts.folder.label_of`). broken: (name, reason) of every file that could not be read.
    """

    root: Path
    items: Items
    broken: tuple[tuple[str, str], ...]
    changes: Changes

    def name_of(self, path: Path) -> str | None:
        """Return the name of a file where it is one of the pictures, else None."""
        for plain in (os.path.abspath, os.path.realpath):  # as they are named, and behind links
            whole, root = Path(plain(path)), Path(plain(self.root))
            if whole.is_relative_to(root):
                name = whole.relative_to(root).as_posix()
                return name if name in self.items.names else None
        return None


# Embeds what a builder has not yet, and saves it: given that, the pictures' folder, and the index file.
Embed = Callable[[IndexBuilder, Path, Path], None]


def open_gallery(
    folder: Path,
    run: Embedder,
    cache: Path,
    progress: Progress,
    log: Callable[[str], None],
    *,
    label_from: LabelFrom = "outer",
) -> OwnGallery:
    """Embed a folder's pictures, or take them from the cache where nothing has changed.

    run: what embeds, or a method that needs no run. A file has changed if its size, or its time of content or of status
    has. What is embedded is kept once a minute and at the end, also of an interrupt, and the next start goes on from
    there. A second process waits for the first. Raises DataError for a folder without a readable picture.
    """

    def embed(builder: IndexBuilder, root: Path, path: Path) -> None:
        builder.embed(root, run, path, progress)

    return cached_gallery(
        folder, cache, embed, log, identity=run.identity, dimension=run.dimension, label_from=label_from
    )


def cached_gallery(
    folder: Path,
    cache: Path,
    embed: Embed,
    log: Callable[[str], None],
    *,
    identity: str,
    dimension: int,
    label_from: LabelFrom = "outer",
) -> OwnGallery:
    """Return a folder's pictures from the cache, after ``embed`` has embedded those that are not in it.

    identity, dimension: of what embeds. Raises as ``open_gallery`` does.
    """
    root = root_of(folder)
    path = index_path(cache, identity, root)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            index, changes = _updated(dimension, root, path, embed, log)
            shutil.rmtree(shards_of(path), ignore_errors=True)  # all of them are in the index now
    except OSError as error:
        raise DataError(f"{path.parent}: the cache cannot be written ({error.strerror or error})") from error
    good = [row for row, reason in enumerate(index.reasons) if not reason]
    broken = tuple((index.names[row], reason) for row, reason in enumerate(index.reasons) if reason)
    if not good:
        why = f": {broken[0][0]} ({broken[0][1]})" if broken else ""
        raise DataError(f"{folder}: no picture in it can be read{why}")
    names = index.names if not broken else [index.names[row] for row in good]
    vectors = index.vectors if not broken else index.vectors[good]
    parts = parts_among(names)
    labels = [label_of(name, parts, label_from) for name in names]
    return OwnGallery(root, Items(vectors, names, labels), broken, changes)


def root_of(folder: Path) -> Path:
    """Return a folder's own absolute path. Raises DataError where there is none."""
    root = Path(os.path.abspath(user_path(folder)))
    if not root.is_dir():
        raise DataError(f"{folder}: {'a file, not a folder' if root.exists() else 'no such folder'}")
    return root


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


def shards_of(path: Path) -> Path:
    """Return the folder of an index's shards: parts of it that other processes embed, or were embedding when killed."""
    return path.with_suffix(".shards")


def _updated(dimension: int, root: Path, path: Path, embed: Embed, log: Callable[[str], None]) -> tuple[Index, Changes]:
    """Return the index of the folder as it is now, and keep it if it differs from the one at ``path``."""
    names, state = scan(root)
    old = read_index(path) or Index.empty(dimension)
    if old.names == names and np.array_equal(old.state, state):
        with suppress(OSError):  # used today, says the cache; a folder without pictures has no file there
            os.utime(path)
        return old, Changes(len(names), 0, 0, 0)
    builder = IndexBuilder(names, state, dimension)
    deleted = len(old.names) - builder.take_over(old)
    for shard in sorted(shards_of(path).glob("*/*.safetensors")):
        builder.take_over(read_index(shard) or Index.empty(dimension))
    unchanged, left, known = int(builder.done.sum()), len(builder.missing), set(old.names)
    changed = sum(names[row] in known for row in builder.missing.tolist())
    del old, known  # a large folder's vectors need not be held twice while others are embedded
    if left:
        log(f"{root}: {left:,} pictures to embed, {unchanged:,} known")
        embed(builder, root, path)
    else:
        builder.save(path)
    return builder.index, Changes(unchanged, added=left - changed, changed=changed, deleted=deleted)
