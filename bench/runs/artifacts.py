"""What a finished run leaves beside run.json: written atomically, read with a reason where it is damaged."""

from __future__ import annotations

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
from bench.files import write_arrays
from bench.training.checkpoints import save_tensors

_SAMPLES = 16


def save_per_query(
    folder: Path, dataset: Dataset, evaluation: Evaluation, extra: Mapping[str, NDArray[np.float64]]
) -> None:
    """Write ``per_query.npz``: one row a query.

    ids, labels; every metric under its name (float64, NaN where the query has nothing relevant); ``neighbors`` int32
    ``(n, 50)``, positions in ``gallery_ids`` (-1 past the end), and their ``similarities`` float32.
    """
    write_arrays(
        folder / PER_QUERY,
        {
            "ids": dataset.query.ids,
            "labels": dataset.query.labels,
            **evaluation.per_query,
            **extra,
            "neighbors": evaluation.neighbors,
            "similarities": evaluation.similarities,
            "gallery_ids": dataset.gallery.ids,
            "gallery_labels": dataset.gallery.labels,
            "classes": np.array(dataset.classes),
        },
    )


def save_replicates(folder: Path, replicates: Replicates) -> None:
    """Write ``replicates.npz``: every score without each group, float64 ``(groups,)`` as ``estimand/metric``."""
    by_estimand = replicates.by_estimand().items()
    write_arrays(
        folder / REPLICATES,
        {f"{estimand}/{name}": values for estimand, metrics in by_estimand for name, values in metrics.items()},
    )


def save_vectors(folder: Path, query: Vectors, gallery: Vectors) -> None:
    """Write ``embeddings.safetensors``: unit float32 ``query`` and ``gallery``; or only ``gallery``."""
    parts = {"gallery": torch.from_numpy(gallery)}
    if query is not gallery:
        parts["query"] = torch.from_numpy(query)
    save_tensors(folder / VECTORS, parts, {"query_is_gallery": query is gallery})


def save_weights(folder: Path, method: Method) -> bool:
    """Write ``weights.safetensors`` if the method has a state to save; return whether it has."""
    saver = saver_of(method)
    if saver is None:
        return False
    save_tensors(folder / "weights.safetensors", saver.state())
    return True


def save_samples(
    folder: Path,
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
    write_arrays(
        folder / SAMPLES,
        {
            "ids": dataset.query.ids[rows],
            "labels": dataset.query.labels[rows],
            "cosines": cosines[rows],
            "originals": dataset.query.images.take(rows),
            "decoded": np.round(decoded.transpose(0, 2, 3, 1) * 255).astype(np.uint8),
        },
    )


PER_QUERY = "per_query.npz"
REPLICATES = "replicates.npz"
SAMPLES = "samples.npz"
VECTORS = "embeddings.safetensors"


def read_arrays(path: Path, *names: str) -> dict[str, NDArray[Any]]:
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


def read_vectors(folder: Path) -> dict[str, NDArray[np.float32]]:
    """Return a run's unit vectors, float32: ``query`` and ``gallery``, one array where they are one, and any others.

    Raises DataError where the file is missing or damaged, or a row is not finite or all zero.
    """
    path = folder / VECTORS
    try:
        kept = load_file(path)
        for name, rows in kept.items():
            refuse_bad_rows(row_norms(rows), f"{path}: {name}")
        return {"query": kept["gallery"], **kept}
    except (OSError, SafetensorError) as error:
        raise DataError(f"cannot read {path}: {error}; run it again (--force)") from error
    except KeyError as error:
        raise DataError(f"{path} holds no gallery vectors; run it again (--force)") from error
