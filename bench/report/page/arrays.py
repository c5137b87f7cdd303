"""What a run found for every query, and pictures that it decoded, read back from its folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.evaluation.arrays import Floats, Ints, Neighbors, Scores
from bench.runs.kept import PER_QUERY, SAMPLES, read_arrays
from bench.runs.store import RunRecord


@dataclass(frozen=True)
class Answers:
    """One run's answers: a row a query.

    ids ``(q,)``, labels int64 ``(q,)``, precision float64 ``(q,)``: average precision, NaN where nothing is relevant;
    neighbors int32 and similarities float32 ``(q, K)``: gallery positions best first, -1 past the end; gallery_ids and
    gallery_labels ``(n,)``; classes: the names that labels stand for.
    """

    ids: NDArray[Any]
    labels: Ints
    precision: Floats
    neighbors: Neighbors
    similarities: Scores
    gallery_ids: NDArray[Any]
    gallery_labels: Ints
    classes: tuple[str, ...]

    def same_questions(self, other: Answers) -> bool:
        """Whether both were asked the same queries in the same order, of the same gallery."""
        return np.array_equal(self.ids, other.ids) and np.array_equal(self.gallery_ids, other.gallery_ids)

    def own_items(self) -> Ints:
        """Return each query's own position in the gallery, int64 ``(q,)``, -1 where it is not in it."""
        order = np.argsort(self.gallery_ids)
        sought = np.searchsorted(self.gallery_ids, self.ids, sorter=order)
        found = order[np.minimum(sought, len(order) - 1)]
        return np.where(self.gallery_ids[found] == self.ids, found, -1).astype(np.int64)


def read_answers(record: RunRecord) -> Answers:
    """Read a run's ``per_query.npz``. Raises DataError where it is missing or damaged."""
    names = ("ids", "labels", "map", "neighbors", "similarities", "gallery_ids", "gallery_labels", "classes")
    kept = read_arrays(record.folder / PER_QUERY, *names)
    return Answers(
        ids=kept["ids"],
        labels=kept["labels"].astype(np.int64),
        precision=kept["map"].astype(np.float64),
        neighbors=kept["neighbors"],
        similarities=kept["similarities"],
        gallery_ids=kept["gallery_ids"],
        gallery_labels=kept["gallery_labels"].astype(np.int64),
        classes=tuple(str(name) for name in kept["classes"]),
    )


def read_samples(record: RunRecord) -> dict[str, NDArray[Any]] | None:
    """Read a run's ``samples.npz``: originals, decoded, cosines, labels, ids; None where the method does not decode."""
    path = record.folder / SAMPLES
    return read_arrays(path) if path.is_file() else None
