"""A run's gallery as files that others read: Parquet with a fixed-size list, faiss's exact index."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.environment import require_package
from bench.export.parity import EXTRA
from bench.files import replacing
from bench.runs.loaded_run import RunGallery


def write_parquet(path: Path, gallery: RunGallery) -> None:
    """Write id, label (its class's name) and vector, float32 in lists of one size; a row an item.

    An id is the picture's path below its data set where that is a folder of pictures.
    """
    arrow = require_package("pyarrow", "simbench export", "pyarrow", EXTRA)
    parquet = require_package("pyarrow.parquet", "simbench export", "pyarrow", EXTRA)
    labels = np.array(gallery.classes)[gallery.labels]
    vectors = arrow.FixedSizeListArray.from_arrays(
        arrow.array(np.ascontiguousarray(gallery.vectors).reshape(-1)), gallery.vectors.shape[1]
    )
    table = arrow.table({"id": gallery.ids.tolist(), "label": labels.tolist(), "vector": vectors})
    with replacing(path) as temporary:
        parquet.write_table(table, temporary)


def write_faiss(path: Path, gallery: RunGallery) -> None:
    """Write an exact index by inner product; its numbers are the rows of the Parquet file."""
    import faiss  # noqa: PLC0415 - whoever writes the other files does not wait for it

    index = faiss.IndexFlatIP(gallery.vectors.shape[1])
    index.add(np.ascontiguousarray(gallery.vectors))
    with replacing(path) as temporary:
        faiss.write_index(index, str(temporary))
