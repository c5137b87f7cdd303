"""An index of a folder's pictures on its way: rows that are known are taken over, the others embedded."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.contract import Progress
from bench.data.decoding.image_source import UnreadableImageError
from bench.data.decoding.ordered_map import map_in_order
from bench.evaluation.ranking.arrays import Ints
from bench.runs.loaded_run import TrainedRun
from bench.search.gallery_index import Index, write_index
from bench.search.preparation import Preparation

BATCH = 256  # images embedded at once
SAVE_EVERY = 60.0  # seconds of embedding that a kill costs at most
Mapped = Callable[[Callable[[str], Any], list[str]], Iterable[Any]]  # `map`, or one in threads


class Filling:
    """The index of files as they are now. done: a mask of the rows whose vectors, or reasons, are in it.

    names: relative to the folder; state: int64 ``(n, 3)``, as `bench.search.gallery.scan` returns both.
    """

    def __init__(self, names: list[str], state: Ints, dimension: int) -> None:
        vectors = np.zeros((len(names), dimension), np.float32)
        self.index = Index(names, state, [""] * len(names), vectors)
        self.done = np.zeros(len(names), np.bool_)
        self._rows = {name: row for row, name in enumerate(names)}

    @property
    def todo(self) -> Ints:
        """The rows that are not done, int64."""
        return np.flatnonzero(~self.done).astype(np.int64, copy=False)

    def take(self, part: Index) -> int:
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
        self,
        root: Path,
        run: TrainedRun,
        path: Path,
        progress: Progress,
        *,
        mapped: Mapped = map_in_order,
    ) -> None:
        """Embed the rows that are not done, and write what is once a minute and at the end, also of an interrupt.

        mapped: how files are read, one after another or in threads.
        """
        saved = time.monotonic()
        try:
            for rows in self._embedded(root, run, progress, mapped):
                self.done[rows] = True
                if time.monotonic() - saved > SAVE_EVERY:
                    self.save(path)
                    saved = time.monotonic()
        finally:
            self.save(path)

    def _embedded(self, root: Path, run: TrainedRun, progress: Progress, mapped: Mapped) -> Iterator[Ints]:
        """Fill in the rows that are not done, and yield those that are then, a batch at a time."""
        todo, index = self.todo, self.index
        read = partial(_read, root, Preparation(run.shape, run.resize.mode))
        with warnings.catch_warnings():
            # of odd files; those that cannot be decoded are reported
            warnings.filterwarnings("ignore", module=r"PIL\.")
            pictures = mapped(read, [index.names[row] for row in todo])
            told = iter(progress(pictures, total=len(todo), what="embed"))
            for first in range(0, len(todo), BATCH):
                rows = todo[first : first + BATCH]
                found = [next(told) for _ in rows]
                good = [place for place, picture in enumerate(found) if not isinstance(picture, str)]
                for row, picture in zip(rows.tolist(), found, strict=True):
                    index.reasons[row] = picture if isinstance(picture, str) else ""
                if good:
                    index.vectors[rows[good]] = run.embed(np.stack([found[place] for place in good]))
                yield rows


def _read(root: Path, preparation: Preparation, name: str) -> np.ndarray | str:
    try:
        return preparation.file(os.path.join(root, name))
    except UnreadableImageError as error:
        return str(error) or "cannot be read"
