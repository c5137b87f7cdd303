"""What a finished run leaves beside run.json: written with digests, read back only where they are right."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from bench.contract import DAMAGED_ARRAYS, DataError, Dataset, Decodes, Method, saver_of
from bench.evaluation.evaluate import Evaluation
from bench.evaluation.inference.embed import decode_vectors
from bench.evaluation.ranking.arrays import Vectors
from bench.evaluation.ranking.vectors import refuse_bad_rows, row_norms
from bench.evaluation.statistics.jackknife import Replicates
from bench.files import packed_arrays
from bench.runs.integrity import FileWriter
from bench.runs.store import RunRecord
from bench.training.checkpoints import load_tensors, packed_tensors

_SAMPLES = 16


def save_per_query(
    files: FileWriter, dataset: Dataset, evaluation: Evaluation, extra: Mapping[str, NDArray[Any]]
) -> None:
    """Write ``per_query.npz``: one row a query.

    ids, labels; every metric under its name (float64, NaN where the query has nothing relevant); ``neighbors`` int32
    ``(n, 50)``, positions in ``gallery_ids`` (-1 past the end), and their ``similarities`` float32. extra: of what is
    decoded, and lists.
    """
    arrays = {
        "ids": dataset.query.ids,
        "labels": dataset.query.labels,
        **evaluation.per_query,
        **extra,
        "neighbors": evaluation.neighbors,
        "similarities": evaluation.similarities,
        "gallery_ids": dataset.gallery.ids,
        "gallery_labels": dataset.gallery.labels,
        "classes": np.array(dataset.classes),
    }
    files.write(PER_QUERY, packed_arrays(arrays))


def save_replicates(files: FileWriter, replicates: Replicates) -> None:
    """Write ``replicates.npz``: every score without each group, float64 ``(groups,)`` as ``estimand/metric``."""
    by_estimand = replicates.by_estimand().items()
    arrays = {f"{estimand}/{name}": values for estimand, metrics in by_estimand for name, values in metrics.items()}
    files.write(REPLICATES, packed_arrays(arrays))


def save_vectors(files: FileWriter, query: Vectors, gallery: Vectors) -> None:
    """Write ``embeddings.safetensors``: unit float32 ``query`` and ``gallery``; or only ``gallery``."""
    parts = {"gallery": torch.from_numpy(gallery)}
    if query is not gallery:
        parts["query"] = torch.from_numpy(query)
    files.write(VECTORS, packed_tensors(parts, {"query_is_gallery": query is gallery}))


def save_weights(files: FileWriter, method: Method) -> bool:
    """Write ``weights.safetensors`` if the method has a state to save; return whether it has."""
    saver = saver_of(method)
    if saver is None:
        return False
    files.write(WEIGHTS, packed_tensors(saver.state()))
    return True


def save_samples(
    files: FileWriter,
    dataset: Dataset,
    decoder: Decodes,
    query: Vectors,
    *,
    cosines: NDArray[np.float64],
    device: torch.device,
) -> None:
    """Write ``samples.npz``: evenly spaced queries, class by class, as uint8 originals and reconstructions.

    cosines: float64 ``(n,)``, the decode cosine of every query; the samples' are kept beside them.
    """
    by_class = np.argsort(dataset.query.labels, kind="stable")
    rows = by_class[np.linspace(0, len(by_class) - 1, min(_SAMPLES, len(by_class))).astype(np.int64)]
    decoded = decode_vectors(decoder, query[rows], device=device)
    arrays = {
        "ids": dataset.query.ids[rows],
        "labels": dataset.query.labels[rows],
        "cosines": cosines[rows],
        "originals": dataset.query.images.take(rows),
        "decoded": np.round(decoded.transpose(0, 2, 3, 1) * 255).astype(np.uint8),
    }
    files.write(SAMPLES, packed_arrays(arrays))


PER_QUERY = "per_query.npz"
REPLICATES = "replicates.npz"
SAMPLES = "samples.npz"
VECTORS = "embeddings.safetensors"
WEIGHTS = "weights.safetensors"
HISTORY = "history.csv"


def read_arrays(run: RunRecord, file: str, *names: str) -> dict[str, NDArray[Any]]:
    """Return the arrays of these names, or all, of a file of a run. Raises DataError as ``arrays_in`` does."""
    return arrays_in(run.file(file), *names)


def arrays_in(path: Path, *names: str) -> dict[str, NDArray[Any]]:
    """Return a file's arrays of these names, or all of them. Raises DataError where it or one of them is not there."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            missing = [name for name in names if name not in kept.files]
            if missing:
                known = [name for name in kept.files if kept[name].dtype == np.float64]
                raise DataError(f"{path} has no {', '.join(missing)} (it has: {', '.join(known)})")
            return {name: kept[name] for name in names or kept.files}
    except DAMAGED_ARRAYS as error:
        raise DataError(f"cannot read {path}: {error}; run it again (--force)") from error


def read_vectors(run: RunRecord) -> dict[str, NDArray[np.float32]]:
    """Return a run's unit vectors, float32: ``query`` and ``gallery``, one array where they are one, and any others.

    Raises DataError where the file is missing or damaged, or a row is not finite or all zero.
    """
    path = run.file(VECTORS)
    try:
        kept = load_file(path)
        for name, rows in kept.items():
            refuse_bad_rows(row_norms(rows), f"{path}: {name}")
        return {"query": kept["gallery"], **kept}
    except (OSError, SafetensorError) as error:
        raise DataError(f"cannot read {path}: {error}; run it again (--force)") from error
    except KeyError as error:
        raise DataError(f"{path} holds no gallery vectors; run it again (--force)") from error


def read_weights(run: RunRecord) -> dict[str, torch.Tensor]:
    """Return the state of a run's method. Raises SimbenchError where the file is missing or damaged."""
    return load_tensors(run.file(WEIGHTS))[0]


def read_history(run: RunRecord) -> list[dict[str, str]]:
    """Return a run's epochs, a row each, as text by name; none where it trained nothing.

    Raises DataError where the file is damaged.
    """
    if HISTORY not in run.result.files:
        return []
    with run.file(HISTORY).open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if not row.get("event")]
