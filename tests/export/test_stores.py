"""A gallery for vector stores, read back as each of them reads it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from bench.contract import UsageError
from bench.export.stores import write_for_store
from bench.runs.loaded_run import RunGallery


def gallery(d: int = 6) -> RunGallery:
    vectors = np.random.default_rng(0).standard_normal((5, d)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = np.array(["a/1.jpg", "tab\there", "back\\slash", 'quote"d', "ünï"])
    return RunGallery(vectors, np.array([0, 1, 1, 0, 1]), ids, ("cat", "dog"))


def test_qdrant_points_have_whole_numbers_as_ids(tmp_path: Path) -> None:
    own, path = gallery(), tmp_path / "points.jsonl"
    assert str(path) in write_for_store("qdrant", path, own, own)
    points = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert [point["id"] for point in points] == [0, 1, 2, 3, 4]
    assert np.array_equal(np.array([point["vector"] for point in points], np.float32), own.vectors)
    assert [point["payload"]["id"] for point in points] == own.ids.tolist()
    assert [point["payload"]["label"] for point in points] == ["cat", "dog", "dog", "cat", "dog"]


@pytest.mark.parametrize(("d", "kind"), [(6, "vector"), (2_001, "halfvec")])
def test_pgvector_copies_every_row_as_it_is(tmp_path: Path, d: int, kind: str) -> None:
    own, path = gallery(d), tmp_path / "gallery.sql"
    write_for_store("pgvector", path, own, own)
    text = path.read_text("utf-8")
    assert f"vector {kind}({d})" in text
    assert f"USING hnsw (vector {kind}_ip_ops)" in text
    copied = text.split("FROM stdin;\n")[1].split("\\.\n")[0]
    unescape = {"\\\\": "\\", "\\t": "\t"}
    rows = [line.split("\t") for line in copied.splitlines()]
    assert [re.sub(r"\\\\|\\t", lambda found: unescape[found[0]], row[1]) for row in rows] == own.ids.tolist()
    assert np.array_equal(np.array([json.loads(row[3]) for row in rows], np.float32), own.vectors)


def test_pgvector_refuses_more_dimensions_than_it_indexes(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at most 4,000 dimensions"):
        write_for_store("pgvector", tmp_path / "gallery.sql", gallery(4_001), gallery(4_001))
    assert not (tmp_path / "gallery.sql").exists()


def test_lancedb_takes_parquet_with_lists_of_one_size(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    own, path = gallery(), tmp_path / "gallery.parquet"
    write_for_store("lancedb", path, own, own)
    table = parquet.read_table(path)
    assert table.schema.field("vector").type.list_size == 6
    assert np.array_equal(np.array(table["vector"].to_pylist(), np.float32), own.vectors)


def test_faiss_finds_each_item_and_the_ids_lie_beside(tmp_path: Path) -> None:
    faiss = pytest.importorskip("faiss")
    own, path = gallery(), tmp_path / "gallery.faiss"
    write_for_store("faiss", path, own, own)
    assert faiss.read_index(str(path)).search(own.vectors, 1)[1][:, 0].tolist() == [0, 1, 2, 3, 4]
    lines = (tmp_path / "gallery.faiss.ids").read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == own.ids.tolist()


def test_parquet_has_queries_and_gallery_each_id_once(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    own, path = gallery(), tmp_path / "all.parquet"
    asked = RunGallery(
        own.vectors[::-1].copy(), own.labels[::-1], np.array(["q1", "q2", "a/1.jpg", "q3", "q4"]), own.classes
    )
    assert "simbench import" in write_for_store("parquet", path, own, asked)
    table = parquet.read_table(path)
    assert table["id"].to_pylist() == [*own.ids.tolist(), "q1", "q2", "q3", "q4"]
    assert table["part"].to_pylist() == ["gallery"] * 5 + ["query"] * 4
    expected = np.concatenate([own.vectors, asked.vectors[[0, 1, 3, 4]]])
    assert np.array_equal(np.array(table["vector"].to_pylist(), np.float32), expected)


def test_hdf5_is_as_ann_benchmarks_writes_it(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    rng = np.random.default_rng(1)
    sides = []
    for count in (150, 7):
        vectors = rng.standard_normal((count, 6)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        sides.append(
            RunGallery(vectors, np.zeros(count, np.int64), np.array([f"{n}.jpg" for n in range(count)]), ("x",))
        )
    path = tmp_path / "run.hdf5"
    write_for_store("hdf5", path, *sides)
    exact = 1 - sides[1].vectors.astype(np.float64) @ sides[0].vectors.astype(np.float64).T
    with h5py.File(path) as file:
        assert {name: file.attrs[name] for name in ("distance", "point_type", "type", "dimension")} == {
            "distance": "angular", "point_type": "float", "type": "dense", "dimension": 6,
        }  # fmt: skip
        assert np.array_equal(file["train"], sides[0].vectors)
        assert np.array_equal(file["test"], sides[1].vectors)
        assert np.array_equal(file["neighbors"], np.argsort(exact, axis=1, kind="stable")[:, :100])
        assert file["distances"][:] == pytest.approx(np.sort(exact, axis=1)[:, :100], abs=1e-7)
        assert (file["neighbors"].dtype, file["distances"].dtype) == (np.int32, np.float32)
        assert file["train_ids"].asstr()[149] == "149.jpg"


def test_hdf5_of_a_small_gallery_has_all_of_it_as_neighbours(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    write_for_store("hdf5", tmp_path / "run.hdf5", gallery(), gallery())
    with h5py.File(tmp_path / "run.hdf5") as file:
        assert file["neighbors"].shape == (5, 5)
        assert file["neighbors"][:, 0].tolist() == [0, 1, 2, 3, 4]  # a query that is in the gallery finds itself
