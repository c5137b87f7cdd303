"""``simbench export`` and ``simbench import``: what comes back has the scores that went out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import bench.runs.costs  # noqa: F401 - so that its timing is shortened

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytest.importorskip("pyarrow")

DATA = ("-d", "digits", "--protocol", "loo", "--limit", "120", "--threads", "1", "-q")


def test_an_exported_run_comes_back_with_its_scores(program: Callable[..., Any], tmp_path: Path) -> None:
    words = ("-m", "arcface", "-o", "encoder=simplecnn", "--epochs", "0.2")
    for step in (
        ("run", *words, *DATA),
        ("export", "runs/digits/loo/arcface", "-o", "winner", "--threads", "1", "-q"),
        ("import", "winner/model.onnx", "--name", "ours", *DATA),
    ):
        done = program(*step)
        assert done.code == 0, done.err
    scores = [
        json.loads(next(tmp_path.glob(f"runs/digits/loo/{name}/*/*/run.json")).read_text("utf-8"))["scores"]
        for name in ("arcface", "ours")
    ]
    for metric in ("map", "map@10", "hit@1", "mrr"):
        assert scores[1][metric] == pytest.approx(scores[0][metric], abs=1e-4)
    assert {path.name for path in (tmp_path / "imported").iterdir()} >= {"ours.onnx", "ours.py"}


def test_a_folder_of_timms_becomes_a_method_beside_its_copied_files(
    simbench: Callable[..., Any], tmp_path: Path
) -> None:
    import timm

    model = timm.create_model("test_efficientnet")
    sizes = {"pretrained_cfg": {"input_size": (3, 32, 32)}}
    timm.models.save_for_hf(model, str(tmp_path / "theirs"), safe_serialization=True, model_config=sizes)
    done = simbench("import", "theirs", "--name", "ours", "--debug", *DATA)  # in this process
    assert done.code == 0, done.err
    shutil.rmtree(tmp_path / "theirs")
    (path,) = tmp_path.glob("runs/digits/loo/ours/*/*/run.json")
    run = json.loads(path.read_text("utf-8"))
    assert (run["baseline"], run["trained"], run["has_weights"]) == ("frozen", False, True)
    assert run["latency"]["embed_1_median_ms"] > 0
    assert {"-o config", "-o weights", "method/ours.py"} <= set(run["spec"]["sources"])
    assert sorted(one.name for one in (tmp_path / "imported/ours").iterdir()) == ["config.json", "model.safetensors"]
    Image.new("L", (8, 8), 90).save(tmp_path / "picture.png")
    found = simbench("search", "picture.png", "--run", str(path.parent), "--methods", "imported", "-q", "--debug")
    assert found.code == 0, found.err


def test_mistakes_of_export_and_import_are_told_in_one_line(simbench: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    for words, code, said in (
        (("export", "nowhere", "-o", "winner"), 2, "no such folder"),
        (("import", "nowhere.onnx", *DATA), 2, "nowhere.onnx: cannot be read"),
        (("import", "bad.onnx", "--name", "Our Model", *DATA), 2, "lower-case letters"),
        (("import", "bad.onnx", "--name", "arcface", *DATA), 2, "there is a method of this name"),
    ):
        done = simbench(*words)
        assert (done.code, said in done.err, "Traceback" in done.err) == (code, True, False), done.err
    assert not (tmp_path / "imported").exists()
