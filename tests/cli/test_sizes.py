"""Methods that see pictures at sizes of their own stand in one table; and pictures to test on are enough for some."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.runs.store import all_runs


@pytest.fixture
def products(tmp_path: Path) -> Path:
    """A manifest of 50 products, one query and three gallery photographs each, and nothing to learn from."""
    rng = np.random.default_rng(0)
    rows = ["path,label,split"]
    for product in range(50):
        own = rng.integers(0, 256, (4, 5, 3))
        for number in range(4):
            seen = np.clip(own + rng.normal(0, 8, own.shape), 0, 255).astype(np.uint8)
            path = tmp_path / "shop" / f"{product}-{number}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(seen).resize((90 + number, 100), Image.Resampling.BICUBIC).save(path)
            rows.append(f"shop/{path.name},product {product},{'gallery' if number else 'query'}")
    (tmp_path / "products.csv").write_text("\n".join(rows), encoding="utf-8")
    return tmp_path / "products.csv"


def test_a_test_only_manifest_gives_rows_of_all_that_use_no_labels(
    simbench: Callable[..., Any], tmp_path: Path, products: Path
) -> None:
    names = ("pixels", "hog", "random", "triplet", "pixels")
    words = [word for name in names for word in ("-m", name)]
    outcome = simbench("run", *words, "-d", str(products), "-o", "hog.size=48", "-o", "pixels.center=true")
    assert outcome.code == 1  # a cell failed
    assert "products, and triplet learns from labelled ones; add a train part" in outcome.err
    (table,) = outcome.out.split("## ")[1:]
    done = {run.result.method: run.result for run in all_runs(tmp_path / "runs") if run.status == "done"}
    assert {name: (one.scores["map"] > 0.5, str(one.data.shape)) for name, one in done.items()} == {
        "pixels": (True, "64x64x3"),
        "hog": (True, "48x48x3"),
        "random": (True, "64x64x3"),
    }
    assert all(one.queries == (50, 50) and one.data.counts["train"] == 0 for one in done.values())
    assert "input" in table
    assert "48²" in table
    with (tmp_path / "runs/report/runs.csv").open(encoding="utf-8", newline="") as file:
        assert {(row["method"], row["input"]) for row in csv.DictReader(file) if row["status"] == "done"} == {
            ("pixels", "64x64"),
            ("hog", "48x48"),
            ("random", "64x64"),
        }
    listed = simbench("cache", "list").out
    assert listed.count("decoded ") == 2
    assert "48x48" in listed
    again = simbench("run", "-m", "hog", "-d", str(products), "--image-size", "48")
    assert again.code == 0, again.err
    assert simbench("cache", "list").out.count("decoded ") == 2  # nothing new
