"""MTEB's result files as published figures: what MIEB's tasks say of a model, on data sets read here."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from bench.contract import DataError, UsageError
from bench.report.tables.published import Figure

# A task's hit@k (cv_recall_at_k) leaves the query out of its ranking; its map, ndcg, recall and precision do not (of
# CUB200I2IRetrieval ndcg_at_1 is 0), so that hit@k alone can be compared.
_HITS = "cv_recall_at_"
_META = "model_meta.json"


@cache
def tasks() -> Mapping[str, Mapping[str, str]]:
    """Return MTEB's tasks that are asked here too, by name: data set, protocol, queries, and a note."""
    text = files("bench.report.tables").joinpath("mteb_tasks.csv").read_text("utf-8")
    return {row["task"]: row for row in csv.DictReader(text.splitlines())}


def read_figures(words: Iterable[str]) -> tuple[Figure, ...]:
    """Return the figures in result files of MTEB, data set by data set, the best first.

    words: files ``results/<model>/<revision>/<Task>.json`` of https://github.com/embeddings-benchmark/results, or
    folders that hold such. A folder's files of other tasks are passed over.

    Raises:
        UsageError: No such file or folder, or nothing to read in it.
        DataError: A file is no result of MTEB, or of a task that is not asked here.
    """
    found = []
    for word in words:
        path = Path(word)
        if not path.exists():
            raise UsageError(f"--figures {word}: no such file or folder")
        whole = path.is_dir()
        found_files = sorted(file for task in tasks() for file in path.rglob(f"{task}.json")) if whole else [path]
        if not found_files:
            raise UsageError(f"--figures {word}: no result of a task that is asked here ({', '.join(tasks())})")
        found += [figure for file in found_files for figure in _figures(file)]
    return tuple(sorted(found, key=lambda one: (one.dataset, one.metric, -float(one.value), one.method)))


def _figures(path: Path) -> Iterator[Figure]:
    result = _object(path)
    task, scores = result.get("task_name"), result.get("scores")
    if not isinstance(task, str) or not isinstance(scores, dict):
        raise DataError(f"{path}: no result file of MTEB; it needs task_name and scores")
    if task not in tasks():
        raise DataError(f"{path}: the task {task} is not asked here (known: {', '.join(tasks())})")
    tested = scores.get("test")
    if not isinstance(tested, list) or len(tested) != 1 or not isinstance(tested[0], dict):
        raise DataError(f"{path}: scores.test must hold one subset")
    asked = tasks()[task]
    model, learnt = _model(path, task)
    told = "/".join(path.parts[-3:])  # a report is for others: not where the user keeps it
    version = f"mteb {result.get('mteb_version', 'of an unknown version')}"
    said = ", ".join(filter(None, [asked["note"], version]))
    hits = {name: value for name, value in tested[0].items() if name.startswith(_HITS)}
    if not hits:
        raise DataError(f"{path}: no {_HITS}1 or the like among its scores")
    for name, value in hits.items():
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1 or math.isnan(value):
            raise DataError(f"{path}: {name} is {value!r}, no share from 0 to 1")
        digits = f"{value:.3f}".removeprefix("0")
        metric, what = f"hit@{name.removeprefix(_HITS)}", (asked["dataset"], asked["protocol"], int(asked["queries"]))
        yield Figure(*what, metric, digits, model, learnt, said, told)


def _model(path: Path, task: str) -> tuple[str, str]:
    """Return a model's name, from the file beside or by the folders, and whether it was trained on the task's data."""
    meta = _object(path.parent / _META) if (path.parent / _META).is_file() else {}
    name = meta.get("name") or path.parent.parent.name.replace("__", "/") or "a model"
    learnt = meta.get("training_datasets")
    return str(name), "trained" if isinstance(learnt, dict | list) and task in learnt else "frozen"


def _object(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(found, dict):
        raise DataError(f"{path}: no result file of MTEB; it holds no object")
    return found
