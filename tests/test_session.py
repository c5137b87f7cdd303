"""The harness from Python: the same runs as the command's, by the same rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bench
from bench import UsageError


def test_a_run_is_made_once_opened_and_searched(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "protocol": "loo",
        "limit": 120,
        "epochs": 0.1,
        "threads": 1,
        "runs": str(tmp_path / "runs"),
    }
    told: list[str] = []
    record = bench.run("siamese-bce", "digits", options={"embedding_dim": 16}, log=told.append, **settings)
    assert record.content["method"] == "siamese_bce"
    assert record.content["embed_dim"] == 16
    assert told
    again = bench.run("siamese_bce", "digits", options={"embedding_dim": 16}, **settings)
    assert json.dumps(again.content) == json.dumps(record.content), "it is not repeated"

    data = bench.load("digits", protocol="loo", limit=120)
    gallery = bench.open_run(record.folder).gallery()
    embedded = bench.open_run(record.folder).embed(data.gallery.images.take(slice(0, 5)))
    np.testing.assert_allclose(embedded, gallery.vectors[:5], atol=1e-5)
    hits = bench.open_search(record.folder).by_name(str(gallery.ids[0]), k=3).hits
    order = np.argsort(-(gallery.vectors[1:] @ gallery.vectors[0]), kind="stable")[:3] + 1
    assert [hit.name for hit in hits] == gallery.ids[order].tolist()


def test_a_word_for_several_methods_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="run one at a time: siamese, siamese_bce"):
        bench.run("siamese*", "digits", runs=str(tmp_path))
