"""Published sets: what is in them, and that a row once published is never lost without a word."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fake_runs import NOTHING, change_run
from numpy.typing import NDArray

from bench.contract import DataError, UsageError
from bench.report.write import board_of, publish, published_folder, refuse_to_drop

WriteRun = Callable[..., Path]
SETS = ("photographs", "catalogue", "new-products", "reality-check", "standard", "unseen", "longer")
LINK = re.compile(r"\]\(([^)#:]+)[^)]*\)")


@pytest.fixture
def runs(tmp_path: Path, write_run: WriteRun, ways: dict[str, NDArray[Any]]) -> Path:
    root = tmp_path / "runs"
    for seed in (0, 1):
        write_run(root, "pca", ways["centred"], seed=seed)
    write_run(root, "random", ways["three"])
    write_run(root, "lda", None, reason="singular")
    return root


def test_a_published_set_is_listed_in_the_index_whose_other_words_stay(runs: Path, tmp_path: Path) -> None:
    index = tmp_path / "results" / "README.md"
    publish(board_of(runs), tmp_path / "results" / "first")
    assert "| [first](first/leaderboard.md) | digits · loo (3 methods) | 4, 1 failed | 2026-01-02 |" in re.sub(
        r" {2,}", " ", index.read_text(encoding="utf-8")
    )
    index.write_text(index.read_text(encoding="utf-8").replace("# Published results", "# Ours"), encoding="utf-8")
    publish(board_of(runs), tmp_path / "results" / "second")
    text = index.read_text(encoding="utf-8")
    assert text.startswith("# Ours\n")
    assert text.count("](first/") == text.count("](second/") == 1
    files = {path.name for path in (tmp_path / "results" / "second").iterdir()}
    assert files >= {"leaderboard.md", "answers.md", "runs.csv", "leaderboard.csv", "leaderboard.json"}


def test_publishing_refuses_to_drop_rows_names_them_and_writes_nothing(runs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "results" / "mine"
    publish(board_of(runs), folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    shutil.rmtree(next(runs.glob("digits/loo/pca/*/seed1")))
    for method in ("random", "lda"):
        shutil.rmtree(runs / "digits" / "loo" / method)
    with pytest.raises(DataError, match=r"has 3 rows .* loo · pca \w+ \(seed 1\); .*--force") as refused:
        publish(board_of(runs), folder)
    assert "\n" not in str(refused.value)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    publish(board_of(runs), folder, force=True)
    assert pd.read_csv(folder / "runs.csv")["method"].tolist() == ["pca"]


def test_a_finished_row_is_also_lost_where_its_run_failed_since(runs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "results" / "mine"
    publish(board_of(runs), folder)
    refuse_to_drop(board_of(runs).frame, folder)
    run = next(runs.glob("digits/loo/random/*/seed0"))
    change_run(run, **{**NOTHING, "reason": "out of memory"})
    with pytest.raises(DataError, match=r"1 row .*random"):
        refuse_to_drop(board_of(runs).frame, folder)


def test_nothing_is_published_without_runs_or_under_a_path(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no runs to publish"):
        publish(board_of(tmp_path / "none"), tmp_path / "results" / "mine")
    for name in ("../runs", "a/b", "", ".git"):
        with pytest.raises(UsageError, match="--publish takes the name of a folder"):
            published_folder(name)


def test_the_published_sets_are_whole_small_and_linked(checkout: Path) -> None:
    results = checkout / "results"
    sizes = {path: path.stat().st_size for path in results.rglob("*") if path.is_file()}
    assert sum(sizes.values()) < 6_000_000
    assert [path.parent.name for path in sizes if path.suffix == ".html"] == ["standard"]
    index = (results / "README.md").read_text(encoding="utf-8")
    for name in SETS:
        files = {path.name for path in (results / name).iterdir()}
        assert files >= {"leaderboard.md", "leaderboard.csv", "leaderboard.json", "runs.csv"}
        assert len(list((results / name).glob("figures/*"))) <= 5
        assert f"]({name}/leaderboard.md)" in index
    for page in results.rglob("*.md"):
        lost = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if not (page.parent / link).exists()]
        assert not lost, f"{page}: {lost}"


def test_the_published_frames_have_one_row_a_run(checkout: Path) -> None:
    counts = {name: len(pd.read_csv(checkout / "results" / name / "runs.csv")) for name in SETS}
    rows = {
        "photographs": 42,
        "catalogue": 18,
        "new-products": 25,
        "reality-check": 36,
        "standard": 168,
        "unseen": 42,
        "longer": 40,
    }
    assert counts == rows
    assert np.isfinite(pd.read_csv(checkout / "results" / "standard" / "runs.csv")["map"]).all()
