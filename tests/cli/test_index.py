"""``simbench index`` on a run that ``simbench run`` has made."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_runs import fake_result, fake_spec, write_beside, write_fake
from safetensors.numpy import save


def test_a_finished_run_becomes_a_frontier(simbench: Callable[..., Any], tmp_path: Path) -> None:
    made = simbench("run", "-m", "pca", "-d", "digits", "--protocol", "loo", "-q")
    assert made.code == 0, made.err
    words = ("--only", "flat,int8,hnsw", "--dims", "32", "-k", "5", "--timed", "20", "--out", "found")
    done = simbench("index", "runs/digits", *words)
    assert done.code == 0, done.err
    assert "Pareto front" in done.out
    files = {path.name for path in (tmp_path / "found").iterdir()}
    assert files == {"frontier.csv", "frontier.svg", "frontier.png", "frontier.json", "latency.npz"}
    with (tmp_path / "found" / "frontier.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["family"] for row in rows} == {"flat", "int8", "hnsw"}
    assert {row["reduction"] for row in rows} == {"pca", "truncate"}
    assert any(row["front"] == "True" for row in rows)
    assert all(0.5 < float(row["map@5"]) <= 1 for row in rows)
    with np.load(tmp_path / "found" / "latency.npz") as times:
        assert times["wall_ms"].shape == (len(rows), 20)
        assert float(rows[0]["p95_ms"]) == pytest.approx(np.percentile(times["wall_ms"][0], 95), abs=1e-4)
    made_by = json.loads((tmp_path / "found" / "frontier.json").read_text(encoding="utf-8"))
    assert (made_by["run"]["method"], made_by["k"], made_by["provenance"]["threads"]) == ("pca", 5, 1)


def test_mistakes_are_told_in_one_line(simbench: Callable[..., Any], tmp_path: Path) -> None:
    run_folder = write_fake(tmp_path, fake_result(fake_spec(method="pca")))
    ids, labels = np.arange(20), np.arange(20) // 2
    arrays = {"ids": ids, "labels": labels, "gallery_ids": ids, "gallery_labels": labels}
    write_beside(run_folder, "per_query.npz", arrays)
    vectors = np.random.default_rng(0).standard_normal((20, 8)).astype(np.float32)
    write_beside(run_folder, "embeddings.safetensors", save({"gallery": vectors}))
    for words, code, said in (
        ([str(run_folder), "--only", "hsnw"], 2, "did you mean 'hnsw'"),
        ([str(run_folder), "--dims", "4096"], 2, "which the vectors have"),
        ([str(run_folder), "-k", "0"], 2, "k must be from 1"),
        (["nowhere"], 2, "nowhere"),
    ):
        done = simbench("index", *words)
        assert (done.code, said in done.err, "Traceback" in done.err) == (code, True, False), done.err
    (run_folder / "per_query.npz").unlink()
    done = simbench("index", str(run_folder))
    assert done.code == 1
    assert "run it again (--force)" in done.err


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, atexit, bench.cli\n"
        "heavy = {'faiss', 'torch', 'numpy', 'matplotlib'}\n"
        "atexit.register(lambda: print('heavy:', sorted(heavy & set(sys.modules))))\n"
        "bench.cli.main()"
    )
    words = [sys.executable, "-P", "-c", code, "index", "--help"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert "heavy: []" in done.stdout
    assert "simbench index runs/" in done.stdout
