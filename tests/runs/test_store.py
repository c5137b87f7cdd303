"""Run folders: written whole, read back, never guessed at."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from fake_runs import fake_result

from bench.contract import Budget, RunSpec, SimbenchError
from bench.contract.results import SCHEMA
from bench.files import ensure_writable, write_bytes, write_json
from bench.runs.integrity import write_sealed
from bench.runs.store import all_runs, read_run, run_folder, write_run

SPEC = RunSpec(dataset="digits", protocol="loo", method="pixels", fingerprint="abc", options={"center": False})


def test_run_key_changes_with_what_decides_a_score() -> None:
    changed = [
        replace(SPEC, fingerprint="abd"),
        replace(SPEC, options={"center": True}),
        replace(SPEC, budget=Budget(epochs=3)),
        replace(SPEC, ks=(1,)),
        replace(SPEC, ties="mean"),
        replace(SPEC, device="cuda"),
        replace(SPEC, data={"per_class": 10}),
    ]
    assert len({spec.key for spec in [SPEC, *changed]}) == len(changed) + 1
    two = replace(SPEC, options={"a": 1, "b": 2})
    assert two.key == replace(SPEC, options={"b": 2, "a": 1}).key


def test_the_metrics_that_a_data_set_asks_for_are_in_the_key_and_none_change_no_key() -> None:
    keys = {replace(SPEC, metrics=metrics).key for metrics in ((), ("minp",), ("minp", "mp@k"))}
    assert len(keys) == 3
    assert SPEC.key == "0ea82047d2"  # as it was when metrics were in no key


def test_a_folder_says_what_was_run() -> None:
    assert run_folder(Path("runs"), SPEC, 3) == Path("runs/digits/loo/pixels") / SPEC.key / "seed3"


def test_a_run_comes_back_and_numbers_that_are_not_finite_become_null(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, SPEC, 0)
    write_run(folder, fake_result(SPEC, scores={"map": float("nan"), "mrr": 0.1}))
    assert json.loads((folder / "run.json").read_text(encoding="utf-8"))["scores"] == {"map": None, "mrr": 0.1}
    run = read_run(folder)
    assert run is not None
    assert math.isnan(run.result.scores["map"])
    assert run.result == fake_result(SPEC, scores=run.result.scores)
    assert [found.folder for found in all_runs(tmp_path)] == [folder]


def test_a_folder_without_run_json_is_no_run(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, SPEC, 0)
    (folder / "checkpoints").mkdir(parents=True)
    (folder / ".run.json.123.tmp").write_text('{"schema": 1, "status": "done"')
    assert read_run(folder) is None
    assert all_runs(tmp_path) == []


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": 99}', "{}"])
def test_a_foreign_or_broken_run_json_is_refused_and_not_guessed_at(tmp_path: Path, text: str) -> None:
    folder = run_folder(tmp_path, SPEC, 0)
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(text)
    with pytest.raises(SimbenchError, match="delete the folder to run it again"):
        read_run(folder)


def test_a_run_that_cannot_be_read_is_left_out_of_all_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for seed, schema in enumerate((SCHEMA, SCHEMA + 1)):
        content = {**fake_result(SPEC, seed=seed).to_json(), "schema": schema}
        write_sealed(run_folder(tmp_path, SPEC, seed) / "run.json", content)
    assert [run.folder.name for run in all_runs(tmp_path)] == ["seed0"]
    assert "left out: " in caplog.text
    assert f"has schema {SCHEMA + 1}" in caplog.text


def test_a_write_that_fails_leaves_the_old_file_and_no_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    write_bytes(path, b"old")
    with pytest.raises(TypeError):
        write_json(path, {"x": object()})
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.json"]


def test_a_place_that_cannot_be_written_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SimbenchError, match="cannot write"):
        ensure_writable(tmp_path / "file" / "inner")
    ensure_writable(tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []


def test_run_json_is_readable_json_with_a_newline_at_the_end(tmp_path: Path) -> None:
    write_json(tmp_path / "run.json", {"name": "Ankle boot ↑"})
    text = (tmp_path / "run.json").read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert json.loads(text) == {"name": "Ankle boot ↑"}
