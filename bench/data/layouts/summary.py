"""What a collection holds, counted: what `simbench check` tells of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bench.contract import Collection, ImageShape, Split
from bench.data.splits.protocols import obstacles


@dataclass(frozen=True)
class PartSummary:
    """Counts of one part; smallest, median and largest are of images a class, over the classes that are in it."""

    images: int
    classes: int
    smallest: int
    median: float
    largest: int


@dataclass(frozen=True)
class Summary:
    """What a collection holds.

    shape: of its images; any_size: whether they are files of any size, which were brought to it to be looked at.
    imbalance: images of the largest class of train over those of its smallest, 1 where all are equal.
    thin: classes with fewer than two images to test on, which can be neither found nor missed; where there is no test
    part, those with no image in the gallery.
    obstacles: for each protocol, why it is not possible, or nothing where it is.
    """

    name: str
    shape: ImageShape
    any_size: bool
    classes: tuple[str, ...]
    parts: Mapping[str, PartSummary]
    imbalance: float
    thin: tuple[str, ...]
    obstacles: Mapping[str, str]

    @property
    def protocols(self) -> tuple[str, ...]:
        """The protocols that are possible."""
        return tuple(name for name, obstacle in self.obstacles.items() if not obstacle)


def summarise(collection: Collection) -> Summary:
    """Count a collection. No pixel is read."""
    images = collection.train.images
    counts = {name: _counts(part, len(collection.classes)) for name, part in collection.parts().items()}
    train = counts["train"][counts["train"] > 0]
    thin = counts["test"] < 2 if "test" in counts else (counts["query"] > 0) & (counts["gallery"] == 0)
    if "test" in counts and not ((counts["train"] > 0) & (counts["test"] > 0)).any():
        thin = counts["test"] == 1  # split by class: the others are not to be tested on
    if collection.query is not None and collection.query.listed:
        thin = np.zeros_like(thin)
    return Summary(
        name=collection.name,
        shape=images.shape,
        any_size=images.files is not None and not images.files.own,
        classes=collection.classes,
        parts={name: _part(count) for name, count in counts.items()},
        imbalance=float(train.max() / train.min()) if len(train) else 1.0,
        thin=tuple(collection.classes[number] for number in np.flatnonzero(thin)),
        obstacles=obstacles(collection),
    )


def _counts(part: Split, classes: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.bincount(part.labels, minlength=classes).astype(np.int64)


def _part(counts: np.ndarray[tuple[int], np.dtype[np.int64]]) -> PartSummary:
    there = counts[counts > 0]
    if not len(there):
        return PartSummary(0, 0, 0, 0.0, 0)
    return PartSummary(
        images=int(there.sum()),
        classes=len(there),
        smallest=int(there.min()),
        median=float(np.median(there)),
        largest=int(there.max()),
    )
