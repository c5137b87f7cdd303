"""``simbench export`` and ``simbench import``: what comes back has the scores that went out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

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
