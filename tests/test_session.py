"""The harness from Python: the same runs as the command's, by the same rules."""

from __future__ import annotations

import doctest
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import bench
import bench.options
import bench.plugins
import bench.session
from bench import UsageError
from bench.contract import images
from bench.evaluation.indexes import recipes


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
    assert record.result.method == "siamese_bce"
    assert record.result.embedding_dim == 16
    assert told
    again = bench.run("siamese_bce", "digits", options={"embedding_dim": 16}, **settings)
    assert again.result == record.result, "it is not repeated"

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


def test_dir_lists_the_public_api_each_name_with_a_docstring() -> None:
    assert {"run", "load", "evaluate", "open_run", "open_search", "runs_frame", "per_query", "method"} <= set(
        dir(bench)
    )
    assert not [name for name in dir(bench) if not getattr(bench, name).__doc__]
    ours = [bench.run, bench.load, bench.open_run, bench.per_query, bench.runs_frame, bench.tunable, bench.use_folders]
    assert [one.__name__ for one in ours if "Args:" not in (one.__doc__ or "")] == []


def test_public_classes_document_their_attributes() -> None:
    ours = [one for one in (getattr(bench, name) for name in dir(bench)) if is_dataclass(one)]
    assert len(ours) >= 9
    for one in ours:
        _, _, said = (one.__doc__ or "").partition("Attributes:")
        assert [field.name for field in fields(one) if field.name not in said] == [], one


@pytest.mark.parametrize("module", [bench.session, bench.plugins, bench.options, images, recipes])
def test_examples_in_public_docstrings_give_what_they_say(
    module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = doctest.testmod(module)
    assert (found.failed, found.attempted > 0) == (0, True)


def test_frames_hold_a_row_a_run_and_a_row_a_query(tmp_path: Path) -> None:
    runs = str(tmp_path / "runs")
    record = bench.run("pixels", "digits", protocol="loo", limit=120, runs=runs)
    frame = bench.runs_frame(runs)
    assert frame["map"].tolist() == pytest.approx([record.result.scores["map"]])
    queries = bench.per_query(record.folder)
    assert queries["map"].mean() == pytest.approx(record.result.scores["map"])
    data = bench.load("digits", protocol="loo", limit=120)
    assert queries["id"].tolist() == data.query.ids.tolist()
    assert queries["label"].tolist() == [data.classes[label] for label in data.query.labels]
    with pytest.raises(UsageError, match="no such folder of runs"):
        bench.runs_frame(tmp_path / "nowhere")
