"""What a finished run leaves beside run.json: arrays and weights that tables, pictures and searches are made from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bench.contract import Dataset, Decodes, Method, saver_of
from bench.evaluation.arrays import Vectors
from bench.evaluation.embedding import decode_vectors
from bench.evaluation.evaluate import Evaluation
from bench.runs.kept import PER_QUERY, SAMPLES, VECTORS
from bench.runs.store import write_arrays
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
