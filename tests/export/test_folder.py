"""A run of the digits as a folder for others, read by what others read it with."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from bench.config import Config, Settings
from bench.contract import Dataset, SimbenchError, UsageError, Workplace, no_progress
from bench.export.folder import export_run
from bench.runs.artifacts import read_vectors
from bench.runs.loaded_run import TrainedRun, open_run
from bench.runs.run_plan import chosen_data, load_collection, plan_cells, run_cells
from bench.training.imported_backbone import ImportedBackbone, folder_files

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
parquet = pytest.importorskip("pyarrow.parquet")

CPU = torch.device("cpu")
Made = tuple[TrainedRun, Dataset]


def made(root: Path, method: str, *words: str, epochs: float = 0.2) -> Made:
    """Return a small run on the digits, and its data."""
    config = Config(Settings(protocol="loo", limit=120, epochs=epochs))
    collection = load_collection("digits", config, no_progress, root / "cache")
    cells = plan_cells([method], {"digits": collection}, config, words, "cpu")
    (record,) = run_cells(cells, Workplace(root, CPU, 1, no_progress, lambda line: None))
    assert record.status == "done", record.result.reason
    return open_run(record.folder, CPU), chosen_data(collection, config.settings, root / "cache")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return made(tmp_path_factory.mktemp("runs"), "arcface", "encoder=simplecnn", "embedding_dim=16")


@pytest.fixture(scope="module")
def folder(small: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("exported") / "winner"
    export_run(*small, where, no_progress, threads=1, licence="MIT")
    return where


def floats(data: Dataset) -> Any:
    return np.ascontiguousarray(data.query.images.pixels.transpose(0, 3, 1, 2), dtype=np.float32) / 255


def test_the_written_model_gives_the_runs_vectors_in_any_batch(small: Made, folder: Path) -> None:
    run, data = small
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    pixels, own = floats(data), read_vectors(run.record)["query"][: len(data.query)]
    rows = data.query.images.rows
    pixels = pixels if rows is None else pixels[rows]
    for count in (1, 7, len(own)):
        (vectors,) = session.run(None, {"pixels": pixels[:count]})
        assert vectors == pytest.approx(own[:count], abs=1e-5)
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)


def test_the_parity_file_says_what_was_compared(small: Made, folder: Path) -> None:
    said = json.loads((folder / "parity.json").read_text("utf-8"))
    assert said["images"] == said["queries"] == len(small[1].query)
    assert said["largest_distance"] < 1e-6
    assert said["same_top"]
    assert said["map_kept"] == pytest.approx(small[0].record.result.scores["map"], abs=1e-9)


def test_parquet_and_faiss_hold_the_gallery_in_one_order(small: Made, folder: Path) -> None:
    import faiss

    run, data = small
    table = parquet.read_table(folder / "embeddings.parquet")
    vectors = np.array(table["vector"].to_pylist(), np.float32)
    assert table.schema.field("vector").type.list_size == 16
    assert table["id"].to_pylist() == data.gallery.ids.tolist()
    assert table["label"].to_pylist() == [data.classes[label] for label in data.gallery.labels]
    assert np.array_equal(vectors, read_vectors(run.record)["gallery"])
    assert faiss.read_index(str(folder / "gallery.faiss")).search(vectors[:5], 1)[1][:, 0].tolist() == [0, 1, 2, 3, 4]


def test_load_py_needs_nothing_of_ours(small: Made, folder: Path, tmp_path: Path) -> None:
    from PIL import Image

    run, data = small
    picture = tmp_path / "digit.png"
    Image.fromarray(data.query.images.take(np.array([3]))[0, :, :, 0]).save(picture)
    assert "bench" not in (folder / "load.py").read_text("utf-8").replace("simbench", "")
    load = runpy.run_path(str(folder / "load.py"))
    vectors = load["embed"](load["pixels_of"](picture))
    assert vectors[0] == pytest.approx(read_vectors(run.record)["query"][3], abs=1e-5)
    similarity, _, item = load["search"](vectors, k=2)[0][0]
    assert (item, similarity) == (data.query.ids[3], pytest.approx(1, abs=1e-5))


def test_vectors_of_another_model_fail_the_export_and_leave_nothing(small: Made, tmp_path: Path) -> None:
    run, data = small
    weight = next(iter(run.method.embedder.parameters()))  # type: ignore[attr-defined]
    kept = weight.detach().clone()
    try:
        weight.data.mul_(-1)
        with pytest.raises(SimbenchError, match="does not give this run's vectors"):
            export_run(run, data, tmp_path / "winner", no_progress, threads=1)
    finally:
        weight.data.copy_(kept)
    assert [path.name for path in tmp_path.iterdir() if "winner" in path.name] == []


def test_what_is_there_is_not_overwritten(small: Made, folder: Path) -> None:
    with pytest.raises(SimbenchError, match="is there already"):
        export_run(*small, folder, no_progress, threads=1)


def test_a_method_without_a_network_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="pixels has no network to export"):
        export_run(*made(tmp_path, "pixels"), tmp_path / "winner", no_progress, threads=1)


def test_timm_loads_the_backbone_and_the_projection_gives_the_vectors(tmp_path: Path) -> None:
    run, data = made(
        tmp_path,
        "triplet",
        *("encoder=timm/test_efficientnet", "weights=none", "embedding_dim=16", "batch_size=16"),
        epochs=0.02,
    )
    where = tmp_path / "winner"
    export_run(run, data, where, no_progress, threads=1)
    card = (where / "README.md").read_text("utf-8")
    assert "library_name: timm" in card, card
    pixels = data.query.images.take(np.arange(4)).transpose(0, 3, 1, 2).astype(np.float32) / 255
    vectors = runpy.run_path(str(where / "load.py"))["embed_by_timm"](pixels)
    assert vectors == pytest.approx(read_vectors(run.record)["query"][:4], abs=1e-4)
    files = {option: str(path) for option, path in folder_files(where).items()}
    again = ImportedBackbone(**files)
    again.fit(data.train, data.validation, Mock(device=CPU))
    with torch.no_grad():
        found = torch.nn.functional.normalize(again.embed(torch.from_numpy(pixels))).numpy()
    assert found == pytest.approx(vectors, abs=1e-5)
