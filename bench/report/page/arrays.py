"""What a run found for every query, and the vectors it found it with, read back from its folder."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from bench.contract import DataError
from bench.evaluation.arrays import Floats, Ints, Neighbors, Scores, Vectors
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
    arrays = _arrays(record.folder / "per_query.npz")
    names = ("ids", "labels", "map", "neighbors", "similarities", "gallery_ids", "gallery_labels", "classes")
    missing = [name for name in names if name not in arrays]
    if missing:
        raise DataError(f"{record.folder / 'per_query.npz'} has no {', '.join(missing)}; run it again")
    return Answers(
        ids=arrays["ids"],
        labels=arrays["labels"].astype(np.int64),
        precision=arrays["map"].astype(np.float64),
        neighbors=arrays["neighbors"],
        similarities=arrays["similarities"],
        gallery_ids=arrays["gallery_ids"],
        gallery_labels=arrays["gallery_labels"].astype(np.int64),
        classes=tuple(str(name) for name in arrays["classes"]),
    )


def read_vectors(record: RunRecord) -> tuple[Vectors, Vectors]:
    """Read a run's unit vectors, float32 ``(q, d)`` and ``(n, d)``: query and gallery, one array where they are one.

    Raises DataError where the file is missing or damaged.
    """
    path = record.folder / "embeddings.safetensors"
    try:
        tensors = load_file(path)
        gallery = tensors["gallery"]
    except (OSError, SafetensorError, KeyError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    return tensors.get("query", gallery), gallery


def read_samples(record: RunRecord) -> dict[str, NDArray[Any]] | None:
    """Read a run's ``samples.npz``: originals, decoded, cosines, labels, ids; None where the method does not decode."""
    path = record.folder / "samples.npz"
    return _arrays(path) if path.is_file() else None


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as kept:
            return {name: kept[name] for name in kept.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"cannot read {path}: {error}") from error
