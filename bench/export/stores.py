"""A run's gallery in the form that a vector store takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.contract import UsageError
from bench.export.gallery_files import write_faiss, write_parquet
from bench.files import write_bytes
from bench.runs.loaded_run import RunGallery

_MOST_INDEXED = {"vector": 2_000, "halfvec": 4_000}  # dimensions that pgvector's HNSW takes


@dataclass(frozen=True)
class Store:
    """write: makes the file of a path; hint: how it is loaded, with the path for ``{}``."""

    write: Callable[[Path, RunGallery], None]
    hint: str


def write_for_store(store: str, path: Path, gallery: RunGallery) -> str:
    """Write a gallery for a store (a key of ``STORES``) and return how to load it. Raises SimbenchError."""
    STORES[store].write(path, gallery)
    return STORES[store].hint.format(path)


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
    "qdrant": Store(_qdrant, "client.upsert(name, [PointStruct(**json.loads(line)) for line in open('{}')])"),
    "pgvector": Store(_pgvector, "psql -v ON_ERROR_STOP=1 -f '{}'"),
    "lancedb": Store(write_parquet, "lancedb.connect('db').create_table('gallery', pyarrow.parquet.read_table('{}'))"),
    "faiss": Store(_faiss, "faiss.read_index('{0}'); '{0}.ids' has the id of each row, a line each, as JSON"),
}
