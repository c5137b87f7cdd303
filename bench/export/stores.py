"""A run's vectors in the form that a vector store or another tool takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from bench.contract import UsageError
from bench.export.gallery_files import write_all_parquet, write_faiss, write_hdf5, write_parquet
from bench.files import write_bytes
from bench.runs.loaded_run import RunGallery

_MOST_INDEXED = {"vector": 2_000, "halfvec": 4_000}  # dimensions that pgvector's HNSW takes


Write: TypeAlias = Callable[[Path, RunGallery, RunGallery], None]  # of a path, a gallery and its queries


@dataclass(frozen=True)
class Store:
    """write: makes the file of a path; hint: how it is loaded, with the path for ``{}``."""

    write: Write
    hint: str


def write_for_store(store: str, path: Path, gallery: RunGallery, queries: RunGallery) -> str:
    """Write a gallery, and its queries where it takes them, for a store (a key of ``STORES``).

    Returns how to load it. Raises SimbenchError.
    """
    STORES[store].write(path, gallery, queries)
    return STORES[store].hint.format(path)


def _alone(write: Callable[[Path, RunGallery], None]) -> Write:
    """Return what writes the gallery alone as one that is given the queries too."""
    return lambda path, gallery, _: write(path, gallery)


def _label_of_each(gallery: RunGallery) -> list[str]:
    found: list[str] = np.array(gallery.classes)[gallery.labels].tolist()
    return found


def _qdrant(path: Path, gallery: RunGallery) -> None:
    """Write a point a line; ids are row numbers, as Qdrant takes whole numbers and UUIDs only."""
    lines = (
        json.dumps({"id": row, "vector": vector.tolist(), "payload": {"id": name, "label": label}})
        for row, (vector, name, label) in enumerate(
            zip(gallery.vectors, gallery.ids.tolist(), _label_of_each(gallery), strict=True)
        )
    )
    write_bytes(path, "".join(f"{line}\n" for line in lines).encode())


def _pgvector(path: Path, gallery: RunGallery) -> None:
    """Write SQL for psql: extension, table, COPY and an HNSW index by inner product, which equals the cosine's."""
    d = gallery.vectors.shape[1]
    kind = next((kind for kind, most in _MOST_INDEXED.items() if d <= most), None)
    if kind is None:
        raise UsageError(f"pgvector indexes at most {_MOST_INDEXED['halfvec']:,} dimensions, these vectors have {d:,}")
    rows = (
        f"{row}\t{_escaped(name)}\t{_escaped(label)}\t[{','.join(map(repr, vector.tolist()))}]\n"
        for row, (vector, name, label) in enumerate(
            zip(gallery.vectors, gallery.ids.tolist(), _label_of_each(gallery), strict=True)
        )
    )
    text = (
        f"BEGIN;\nCREATE EXTENSION IF NOT EXISTS vector;\n"
        f"CREATE TABLE gallery (row bigint PRIMARY KEY, id text NOT NULL, label text NOT NULL, vector {kind}({d}));\n"
        f"COPY gallery (row, id, label, vector) FROM stdin;\n{''.join(rows)}\\.\n"
        f"CREATE INDEX ON gallery USING hnsw (vector {kind}_ip_ops);\nCOMMIT;\n"
    )
    write_bytes(path, text.encode())


def _escaped(text: str) -> str:
    """Return text as COPY reads it."""
    for char, said in (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r")):
        text = text.replace(char, said)
    return text


def _faiss(path: Path, gallery: RunGallery) -> None:
    write_faiss(path, gallery)
    write_bytes(
        path.with_name(f"{path.name}.ids"), "".join(f"{json.dumps(one)}\n" for one in gallery.ids.tolist()).encode()
    )


STORES = {
    "qdrant": Store(_alone(_qdrant), "client.upsert(name, [PointStruct(**json.loads(line)) for line in open('{}')])"),
    "pgvector": Store(_alone(_pgvector), "psql -v ON_ERROR_STOP=1 -f '{}'"),
    "lancedb": Store(
        _alone(write_parquet), "lancedb.connect('db').create_table('gallery', pyarrow.parquet.read_table('{}'))"
    ),
    "faiss": Store(_alone(_faiss), "faiss.read_index('{0}'); '{0}.ids' has the id of each row, a line each, as JSON"),
    "parquet": Store(write_all_parquet, "simbench import '{0}' -d DATA, or pyarrow.parquet.read_table('{0}')"),
    "hdf5": Store(write_hdf5, "h5py.File('{}'): train, test, neighbors and distances, as ann-benchmarks has them"),
}
