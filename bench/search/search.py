"""Ask with a picture: its nearest neighbours among a run's gallery or own pictures. For terminal, page and notebook."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from PIL import Image

from bench.contract import DataError, UsageError
from bench.environment import blas_threads
from bench.evaluation.ranking.arrays import Ints, Vectors
from bench.evaluation.ranking.vectors import refuse_bad_rows, row_norms
from bench.naming import readable, tidied
from bench.search.preparation import Preparation

if TYPE_CHECKING:
    from bench.contract import Pixels
    from bench.runs.loaded_run import RunGallery, TrainedRun


@dataclass(frozen=True)
class Items:
    """What is searched. vectors: unit float32 ``(n, d)``; names: unique; labels: None where a label is not known."""

    vectors: Vectors
    names: Sequence[str]
    labels: Sequence[str | None]

    def __post_init__(self) -> None:
        n = len(self.names)
        if self.vectors.ndim != 2 or len(self.vectors) != n or len(self.labels) != n:
            raise DataError(f"{n} names, but vectors {self.vectors.shape} and {len(self.labels)} labels")
        if n == 0:
            raise DataError("there is nothing to search")

    @classmethod
    def of_run(cls, gallery: RunGallery) -> Items:
        """The gallery that a run was scored on."""
        labels = [gallery.classes[number] for number in gallery.labels.tolist()]
        return cls(gallery.vectors, gallery.ids.tolist(), labels)


@dataclass(frozen=True)
class Hit:
    """One neighbour. rank: from 1; similarity: cosine in [-1, 1]; label: None where it is not known."""

    rank: int
    similarity: float
    label: str | None
    name: str


@dataclass(frozen=True)
class Answer:
    """The neighbours of one query, best first, and the wall-clock milliseconds of embedding and of searching.

    embed_ms: from prepared pixels to the vector, 0 for a query that is a vector.
    """

    hits: tuple[Hit, ...]
    embed_ms: float
    search_ms: float

    def at_least(self, similarity: float | None) -> Answer:
        """Return the answer without what is less similar; None leaves it as it is."""
        if similarity is None:
            return self
        return replace(self, hits=tuple(hit for hit in self.hits if hit.similarity >= np.float32(similarity)))


class Embeds(Protocol):
    """What turns prepared images into vectors: a ``TrainedRun``."""

    def embed(self, pixels: Pixels) -> Vectors: ...


class Searcher:
    """Exact search by cosine: every item is compared, in float32. ``Searcher.of(run)`` searches a run's own gallery."""

    def __init__(self, run: Embeds, preparation: Preparation, items: Items) -> None:
        self.items = items
        self.preparation = preparation
        self._run = run

    @classmethod
    def of(cls, run: TrainedRun, items: Items | None = None) -> Searcher:
        """Return what searches items, by default the gallery that the run was scored on, with the run's method."""
        return cls(run, Preparation.of(run.shape, run.resize), items or Items.of_run(run.gallery()))

    def by_file(self, path: Path | str, k: int = 8, *, exclude: str | None = None) -> Answer:
        """Return the k nearest items of an image file. Raises UnreadableImageError. See `by_vector`."""
        return self._by_pixels(self.preparation.file(path), k, exclude)

    def by_image(self, image: Image.Image, k: int = 8, *, exclude: str | None = None) -> Answer:
        """Return the k nearest items of a Pillow image. See `by_vector`."""
        return self._by_pixels(self.preparation.image(image), k, exclude)

    def by_array(self, pixels: Pixels, k: int = 8, *, exclude: str | None = None) -> Answer:
        """Return the k nearest items of uint8 ``(height, width[, channels])``. See `by_vector`."""
        return self._by_pixels(self.preparation.array(pixels), k, exclude)

    def by_name(self, name: str, k: int = 8) -> Answer:
        """Return the k nearest other items of an item. Raises UsageError for a name that no item has."""
        return self.by_vector(self.items.vectors[self._row(name)], k, exclude=name)

    def by_vector(self, vector: Vectors, k: int = 8, *, exclude: str | None = None) -> Answer:
        """Return the k nearest items of a unit vector, float32 ``(d,)``; fewer where there are fewer.

        exclude: the name of an item that is the query itself. Equal similarities are in the items' own order.
        """
        if k < 1:
            raise UsageError(f"k must be 1 or more, got {k}")
        if vector.shape != self.items.vectors.shape[1:]:
            raise DataError(f"the items have {self.items.vectors.shape[1]} dimensions, the query has {vector.shape}")
        refuse_bad_rows(row_norms(vector[None]), "the query")
        itself = None if exclude is None else self._row(exclude)
        start = time.perf_counter()
        rows, similarities = nearest(self.items.vectors, vector, k, itself)
        spent = (time.perf_counter() - start) * 1e3
        hits = tuple(
            Hit(rank, float(similarity), self.items.labels[row], self.items.names[row])
            for rank, (row, similarity) in enumerate(zip(rows.tolist(), similarities, strict=True), start=1)
        )
        return Answer(hits, 0.0, spent)

    def _by_pixels(self, pixels: Pixels, k: int, exclude: str | None) -> Answer:
        start = time.perf_counter()
        vector = self._run.embed(pixels[None])[0]
        spent = (time.perf_counter() - start) * 1e3
        found = self.by_vector(vector, k, exclude=exclude)
        return Answer(found.hits, spent, found.search_ms)

    def _row(self, name: str) -> int:
        try:
            return self.items.names.index(name)
        except ValueError:
            raise UsageError(f"no item is called {name!r} (they are called such as {self.items.names[0]!r})") from None


def nearest(vectors: Vectors, query: Vectors, k: int, itself: int | None) -> tuple[Ints, Vectors]:
    """Return the rows of the k largest inner products and these, best first, equal ones in order of their rows.

    vectors: float32 ``(n, d)``; query: float32 ``(d,)``; itself: a row to leave out, or None. Result: int64 and float32
    ``(min(k, n or n - 1),)``.
    """
    # One product of a matrix and a vector waits for memory: a second thread gains little, and where another program
    # keeps its core busy, the product with 10,000 vectors takes 16 ms instead of .08.
    with blas_threads(1):
        scores = vectors @ query
    if itself is not None:
        scores[itself] = -np.inf
    k = min(k, len(scores) - (itself is not None))
    if k == 0:
        return np.empty(0, np.int64), np.empty(0, np.float32)
    edge = np.partition(scores, len(scores) - k)[len(scores) - k]
    chosen = np.flatnonzero(scores >= edge)
    order = chosen[np.argsort(-scores[chosen], kind="stable")][:k]
    return order, scores[order]


def label_of_query(path: Path, labels: Collection[str | None], below: Path | None = None) -> str | None:
    """Return the name of the nearest folder above a query that is one of the labels searched, or None.

    below: the folder that was asked for, beyond which it is not looked; None: only the folder that the query lies in.
    """
    whole = Path(os.path.abspath(path))
    top = whole.parent if below is None else Path(os.path.abspath(below))
    for folder in whole.parents:
        name = tidied(readable(folder.name))
        if name in labels:
            return name
        if folder == top:
            break
    return None
