"""MTEB's result files become published figures under the table of their question; a mistake is told with its file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_runs import DATA, fake_result, fake_spec, write_fake

from bench import DataError, UsageError
from bench.report.tables.frame import runs_frame
from bench.report.tables.leaderboard import leaderboard
from bench.report.tables.mteb_figures import read_figures, tasks
from bench.report.tables.published import published
from bench.runs.store import all_runs


def written(
    folder: Path, task: str = "CUB200I2IRetrieval", *, name: str = "facebook/dinov2-small", **changes: Any
) -> Path:
    """Write what upstream stores of a model, in its folders: the shape, and the figures of the real one, cut short."""
    home = folder / "results" / name.replace("/", "__") / "ed25f3a31f01632728cabb09d1542f84ab7b0056"
    home.mkdir(parents=True, exist_ok=True)
    scores = {
        "cv_recall_at_1": 0.83535, "cv_recall_at_10": 0.96824, "hf_subset": "default", "languages": ["eng-Latn"],
        "main_score": 0.83535, "map_at_10": 0.16851, "nauc_map_at_1_max": float("nan"), "ndcg_at_1": 0.0,
    }  # fmt: skip
    result = {
        "dataset_revision": "ad08c1307b15a226bf1b64e62656a17f1f85f7ec",
        "evaluation_time": 67.8,
        "mteb_version": "1.14.15",
        "scores": {"test": [scores]},
        "task_name": task,
    } | changes
    (home / f"{task}.json").write_text(json.dumps(result), encoding="utf-8")
    (home / "STL10.json").write_text(json.dumps({**result, "task_name": "STL10"}), encoding="utf-8")
    (home / "model_meta.json").write_text(json.dumps({"name": name, "training_datasets": {}}), encoding="utf-8")
    return home / f"{task}.json"


def test_hits_are_read_and_what_counts_the_query_itself_is_not(tmp_path: Path) -> None:
    path = written(tmp_path)
    found = read_figures([str(tmp_path / "results")])
    assert [(one.metric, one.value, one.source) for one in found] == [
        ("hit@1", ".835", "/".join(path.parts[-3:])),
        ("hit@10", ".968", "/".join(path.parts[-3:])),
    ]
    assert str(found[0]) == "hit@1 .835 by facebook/dinov2-small (frozen, mteb 1.14.15)"
    listed = {(one.dataset, one.value) for one in published() if one.method == "DINOv2 small" and one.source == "mteb"}
    assert (found[0].dataset, found[0].value) in listed  # what the list has of this very file
    assert {(one["dataset"], one["protocol"], int(one["queries"])) for one in tasks().values()} >= {
        (one.dataset, one.protocol, one.queries) for one in published() if one.source == "mteb"
    }


def test_a_figure_stands_below_its_table_and_in_no_row(tmp_path: Path) -> None:
    path = written(tmp_path)
    scores = {"map": 0.5, "hit@1": 0.6, "queries_without_relevant": 0}
    for dataset, queries in (("cub200-mieb", 5_794), ("cars196-mieb", 8_041), ("cub200-mieb", 100)):
        data = replace(DATA, counts={**DATA.counts, "query": queries})
        root = tmp_path / f"{dataset}{queries}"
        write_fake(root, fake_result(fake_spec(dataset=dataset, protocol="loo"), data=data, scores=scores))
        text = " ".join(leaderboard(runs_frame(all_runs(root)), figures=read_figures([str(path)])).split())
        where = "/".join(path.parts[-3:])
        told = f"not run here**: hit@1 .835 by facebook/dinov2-small (frozen, mteb 1.14.15); read from {where}."
        assert (told in text) == ((dataset, queries) == ("cub200-mieb", 5_794))
        assert "facebook" not in text.partition("**Published")[0]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"task_name": "STL10"}, "the task STL10 is not asked here"),
        ({"task_name": None}, "no result file of MTEB; it needs task_name and scores"),
        ({"scores": {"dev": []}}, r"scores\.test must hold one subset"),
        ({"scores": {"test": [{"map_at_1": 0.5}]}}, "no cv_recall_at_1 or the like"),
        ({"scores": {"test": [{"cv_recall_at_1": 83.5}]}}, r"cv_recall_at_1 is 83\.5, no share from 0 to 1"),
    ],
)
def test_a_file_that_is_no_result_is_refused_by_name(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    path = written(tmp_path, **changes)
    with pytest.raises(DataError, match=rf"CUB200I2IRetrieval\.json: {said}"):
        read_figures([str(path)])


def test_a_path_with_nothing_to_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--figures .*gone: no such file or folder"):
        read_figures([str(tmp_path / "gone")])
    with pytest.raises(UsageError, match="no result of a task that is asked here"):
        read_figures([str(tmp_path)])
