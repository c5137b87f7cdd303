"""A run's vectors as files that others read: Parquet with lists of one size, faiss's exact index, HDF5."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np

from bench.environment import require_package
from bench.export.parity import EXTRA
from bench.files import replacing
from bench.runs.loaded_run import RunGallery

_TRUTH = 100  # neighbours of a query that ann-benchmarks keeps


def write_parquet(path: Path, gallery: RunGallery) -> None:
    """Write id, label (its class's name) and vector, float32 in lists of one size; a row an item.

    An id is the picture's path below its data set where that is a folder of pictures.
    """
    _write_table(path, gallery, {})


def write_all_parquet(path: Path, gallery: RunGallery, queries: RunGallery) -> None:
    """Write the same of gallery and queries, each id once, with a column ``part``: what ``simbench import`` takes."""
    new = ~np.isin(queries.ids, gallery.ids)
    both = RunGallery(
        np.concatenate([gallery.vectors, queries.vectors[new]]),
        np.concatenate([gallery.labels, queries.labels[new]]),
        np.concatenate([gallery.ids, queries.ids[new]]),
        gallery.classes,
    )
    _write_table(path, both, {"part": ["gallery"] * len(gallery.ids) + ["query"] * int(new.sum())})


def _write_table(path: Path, items: RunGallery, more: dict[str, list[str]]) -> None:
    arrow, parquet = _needed("pyarrow"), _needed("pyarrow.parquet")
    labels = np.array(items.classes)[items.labels]
    vectors = arrow.FixedSizeListArray.from_arrays(
        arrow.array(np.ascontiguousarray(items.vectors).reshape(-1)), items.vectors.shape[1]
    )
    table = arrow.table({"id": items.ids.tolist(), "label": labels.tolist(), **more, "vector": vectors})
    with replacing(path) as temporary:
        parquet.write_table(table, temporary)


def _needed(module: str) -> ModuleType:
    return require_package(module, "simbench export", module.partition(".")[0], EXTRA)


def write_hdf5(path: Path, gallery: RunGallery, queries: RunGallery) -> None:
    """Write ann-benchmarks' layout: ``train`` (the gallery), ``test`` (the queries), ``neighbors``, ``distances``.

    neighbors int32 and distances float32 ``(q, k)``: the exact first 100 of the whole gallery, or all of a smaller one,
    by 1 - cosine. A query that is in the gallery finds itself, as that layout knows no ids; ``train_ids`` and
    ``test_ids`` are there beside it.
    """
    h5py = _needed("h5py")
    neighbors, distances = _nearest(gallery, queries)
    text = h5py.string_dtype()
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update(
            {"type": "dense", "distance": "angular", "point_type": "float", "dimension": gallery.vectors.shape[1]}
        )
        for name, side in (("train", gallery), ("test", queries)):
            file.create_dataset(name, data=side.vectors)
            file.create_dataset(f"{name}_ids", data=side.ids.astype(object), dtype=text)
        file.create_dataset("neighbors", data=neighbors)
        file.create_dataset("distances", data=distances)


def _nearest(
    gallery: RunGallery, queries: RunGallery
) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.int32]], np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    """Return each query's nearest items, in the order of their distances in float64, and these."""
    import faiss  # noqa: PLC0415 - whoever writes the other files does not wait for it

    index = faiss.IndexFlatIP(gallery.vectors.shape[1])
    index.add(np.ascontiguousarray(gallery.vectors))
    _, found = index.search(np.ascontiguousarray(queries.vectors), min(_TRUTH, len(gallery.ids)))
    exact = np.stack(
        [
            1 - gallery.vectors[items].astype(np.float64) @ query.astype(np.float64)
            for items, query in zip(found, queries.vectors, strict=True)
        ]
    )
    order = np.argsort(exact, axis=1, kind="stable")
    neighbors = np.take_along_axis(found, order, axis=1).astype(np.int32)
    return neighbors, np.take_along_axis(exact, order, axis=1).astype(np.float32)


def write_faiss(path: Path, gallery: RunGallery) -> None:
    """Write an exact index by inner product; its numbers are the rows of the Parquet file."""
    import faiss  # noqa: PLC0415 - whoever writes the other files does not wait for it

    index = faiss.IndexFlatIP(gallery.vectors.shape[1])
    index.add(np.ascontiguousarray(gallery.vectors))
    with replacing(path) as temporary:
        faiss.write_index(index, str(temporary))
