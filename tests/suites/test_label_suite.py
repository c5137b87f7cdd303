"""Label budgets as a line of a suite, and as a choice of data that leaves all other runs their names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bench.config import Config, Settings, load_config
from bench.contract import Collection, UsageError, Workplace
from bench.runs.run_plan import data_choices, load_collection, plan_cells, run_cells
from bench.suites.expansion import SuiteCell, expand
from bench.suites.suite import find_suite


def cells_of(tmp_path: Path, text: str, *words: str) -> tuple[SuiteCell, ...]:
    path = tmp_path / "bench.toml"
    path.write_text(f"[suite.a]\nmethods = ['pixels', 'pca']\nprotocols = ['loo']\n{text}", encoding="utf-8")
    checked = load_config(path, overrides=words)
    return expand(
        find_suite(checked, "a"), checked, "cpu", progress=lambda items, **_: items, cache=tmp_path / "cache"
    ).cells


@pytest.fixture
def digits(tmp_path: Path) -> Collection:
    return load_collection("digits", Config(Settings()), lambda items, **_: items, tmp_path)


def key(digits: Collection, **settings: object) -> str:
    config = Config(Settings(protocol="loo", **settings))  # type: ignore[arg-type]  # settings by name
    (cell,) = plan_cells(["pixels"], {"digits": digits}, config, [], "cpu")
    return cell.spec.key


def test_a_run_with_all_labels_has_the_key_it_had_before_there_was_a_choice(digits: Collection) -> None:
    (cell,) = plan_cells(["pixels"], {"digits": digits}, Config(Settings(protocol="loo")), [], "cpu")
    options = {"center": False}  # of then
    assert replace(cell.spec, sources={}, options=options).key == "46ba824cb0"
    assert data_choices(Settings()) == {}
    assert data_choices(Settings(labels_per_class=5)) == {"labels_per_class": 5}
    assert len({key(digits), *(key(digits, labels_per_class=n) for n in (1, 5))}) == 3


def test_a_suite_of_budgets_is_each_method_and_seed_under_each_budget(tmp_path: Path) -> None:
    cells = cells_of(tmp_path, "seeds = [0, 1]\nlabels_per_class = [1, 5, 'all']\n")
    names = [(cell.seed, cell.spec.method, cell.spec.data.get("labels_per_class")) for cell in cells]
    assert names == [(seed, method, n) for seed in (0, 1) for n in (1, 5, None) for method in ("pixels", "pca")]
    assert [len(cell.dataset.train) for cell in cells[:3]] == [10, 10, 50]
    assert cells[0].label == "pixels labels_per_class=1"
    whole = {cell.folder(tmp_path) for cell in cells_of(tmp_path, "seeds = [0, 1]\n")}
    assert whole == {cell.folder(tmp_path) for cell in cells if not cell.spec.data}, "one row for all labels"


@pytest.mark.parametrize(
    ("text", "words", "budgets"),
    [
        ("labels_per_class = 5", (), {5}),
        ("labels_per_class = 'all'", (), {None}),
        ("", ("suite.a.labels_per_class=5, all",), {5, None}),
        ("[run]\nlabels_per_class = 20", (), {20}),
        ("labels_per_class = ['all', 5]\n[run]\nlabels_per_class = 20", (), {5, None}),
    ],
)
def test_budgets_may_be_one_a_list_or_a_word_of_the_command_line(
    tmp_path: Path, text: str, words: tuple[str, ...], budgets: set[int | None]
) -> None:
    assert {cell.settings.labels_per_class for cell in cells_of(tmp_path, text, *words)} == budgets


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("labels_per_class = [0]", 'whole numbers from 1, or "all"'),
        ("labels_per_class = ['every']", "expected a whole number, got 'every'"),
        ("labels_per_class = [5]\n[run]\nper_class = 10", "give --per-class or --labels-per-class, not both"),
        ("[run]\nlabels_per_class = 0", "labels_per_class must be 1 or more"),
    ],
)
def test_a_budget_that_is_none_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        cells_of(tmp_path, text)


def test_training_on_one_label_a_class_keeps_its_last_epoch(digits: Collection, tmp_path: Path) -> None:
    config = Config(Settings(protocol="loo", labels_per_class=1, epochs=1.0))
    words = ["encoder=embeddingnet", "embedding_dim=8"]
    cells = plan_cells(["softmax"], {"digits": digits}, config, words, "cpu")
    place = Workplace(tmp_path / "runs", torch.device("cpu"), 1, lambda items, **_: items, lambda line: None)
    (record,) = run_cells(cells, place)
    assert record.status == "done", record.result.reason
    assert record.result.data.counts == {"train": 10, "validation": 0, "query": 898, "gallery": 898}
    assert record.result.thresholds is None
    assert "none held out" in record.result.data.notes[-1]
    (row,) = (record.folder / "history.csv").read_text().splitlines()[1:]
    assert row.startswith("1-encoder,1,200,"), "an epoch has 200 steps at least"
