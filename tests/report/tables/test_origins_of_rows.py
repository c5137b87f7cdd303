"""Rows of other code, other weights and other numbers of threads are told apart, and their provenance is shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from fake_runs import MADE_BY, fake_result, fake_spec, write_fake

from bench.report.html.origins import origins
from bench.report.tables.footnotes import made, threads
from bench.report.tables.frame import runs_frame
from bench.report.tables.groups import tables_of
from bench.report.tables.wording import failures, row_labels
from bench.report.write import board_of
from bench.runs.store import all_runs

OLD, NEW = {"method/mine.py": "1" * 64}, {"method/mine.py": "2" * 64}


def write(root: Path, sources: dict[str, str], **changes: Any) -> Path:
    return write_fake(root, fake_result(fake_spec(method="mine", sources=sources), **changes))


def frame_of(root: Path) -> pd.DataFrame:
    return runs_frame(all_runs(root))


def test_rows_of_other_code_are_named_by_it(tmp_path: Path) -> None:
    write(tmp_path, OLD)
    write(tmp_path, NEW)
    names = set(row_labels(frame_of(tmp_path)).values())
    assert names == {f"mine (code={fake_spec(sources=sources).marks['code']})" for sources in (OLD, NEW)}


def test_rows_of_other_weights_in_one_file_are_named_by_their_content(tmp_path: Path) -> None:
    for digest in ("a" * 64, "b" * 64):
        write(tmp_path, {**OLD, "-o weights": digest})
    names = set(row_labels(frame_of(tmp_path)).values())
    assert names == {"mine (weights content=aaaaaaaa)", "mine (weights content=bbbbbbbb)"}


def test_a_failed_run_is_not_told_to_have_other_code_than_other_methods(tmp_path: Path) -> None:
    write_fake(tmp_path, fake_result(fake_spec(sources={"method/pixels.py": "3" * 64})))
    write(tmp_path, OLD, reason="ValueError: no")
    assert failures(frame_of(tmp_path)) == ["`mine` seed 0: failed: ValueError: no"]


def test_failures_of_code_that_was_mended_are_left_out_and_others_stay(tmp_path: Path) -> None:
    write(tmp_path, OLD, reason="ValueError: not yet")
    write(tmp_path, NEW, provenance=replace(MADE_BY, date="2026-02-01T00:00:00+00:00"))
    write(tmp_path, NEW, seed=1, reason="ValueError: of another seed")
    found = {(run.result.seed, run.status) for run in board_of(tmp_path).records}
    assert found == {(0, "done"), (1, "failed")}


def test_tables_of_runs_on_one_and_two_threads_say_so(tmp_path: Path) -> None:
    write(tmp_path, OLD)
    write(tmp_path, OLD, seed=1)
    assert threads(frame_of(tmp_path)) == ""
    write(tmp_path, OLD, seed=2, provenance=replace(MADE_BY, threads=2))
    assert threads(frame_of(tmp_path)).startswith("runs on 1 and 2 threads: ")
    (table,) = tables_of(all_runs(tmp_path), frame_of(tmp_path))
    assert any("1 and 2 threads" in note for note in table.notes)


def test_a_plugin_that_is_in_no_commit_is_shown_with_its_file(tmp_path: Path) -> None:
    dirty = replace(MADE_BY, dirty=True, uncommitted=("mine/mine.py",), distributions={"their-methods": "1.2"})
    write(tmp_path, OLD, provenance=dirty)
    records = all_runs(tmp_path)
    ((row,),) = (table.rows for table in tables_of(records, frame_of(tmp_path)))
    (origin,) = origins(row, tmp_path, tmp_path, {})
    facts = dict(origin.facts)
    assert facts["commit"] == f"{'a' * 40} with uncommitted changes (mine/mine.py)"
    assert facts["plugins of"] == "their-methods 1.2"
    assert facts["made of"].startswith("code ")
    assert f"{'a' * 10}+" in made(frame_of(tmp_path))
    assert frame_of(tmp_path)[["uncommitted", "distributions"]].iloc[0].tolist() == [
        "mine/mine.py", "their-methods==1.2",
    ]  # fmt: skip
