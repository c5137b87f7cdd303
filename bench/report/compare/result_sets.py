"""Cells of a whole tree of results: from run folders, from a published table of runs, or from one in git's history."""

from __future__ import annotations

import io
import json
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from bench.contract import DataError, UsageError
from bench.report.tables.entries import Entry, entry_of, require_runs, table_runs
from bench.report.tables.frame import mean_over, runs_frame, without_folders
from bench.runs.store import RunRecord, any_run

TABLE = "runs.csv"
_KIND = ("dataset", "protocol", "method", "key")
_PLACE = ("dataset", "protocol", "dataset_revision", "method")
_NEEDED = (*_KIND, "seed", "status", "dataset_revision", "options", "budget")
PUBLISHED = Path("results")  # what was published, a folder a set
_STANDARD = (f"results/standard/{TABLE}", f"results/{TABLE}")  # below a checkout; the second before sets had names


@dataclass(frozen=True)
class Cell:
    """What two trees are compared by: a setting of a method on a revision of a data set. options, budget: JSON."""

    dataset: str
    protocol: str
    revision: str
    method: str
    options: str
    budget: str
    engine: str = "torch"
    twin: str = ""  # the key, where a tree holds several that differ in none of the above (in ties, depths, device)

    @property
    def place(self) -> tuple[str, str, str, str]:
        """Everything but the setting."""
        return self.dataset, self.protocol, self.revision, self.method


@dataclass(frozen=True)
class Result:
    """The runs of one cell. rows: of the table of runs, one a seed; entry: its run folders, None for a table."""

    rows: pd.DataFrame
    entry: Entry | None = None

    @property
    def done(self) -> pd.DataFrame:
        return self.rows[self.rows["status"] == "done"]

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(sorted(int(seed) for seed in self.done["seed"]))

    @property
    def reason(self) -> str:
        """Why a cell without a finished run failed."""
        texts = [text for text in self.rows.get("reason", ()) if isinstance(text, str) and text]
        return texts[0].splitlines()[0] if texts else "no reason recorded"

    def mean(self, metric: str) -> float | None:
        """Return the mean over seeds, None where the table has no such column or value."""
        return mean_over(self.done, metric)

    def ci95(self, metric: str) -> tuple[float, float] | None:
        """Return the interval over seeds and queries; the run's own where there is only that."""
        for kind in (f"{metric}_seeds_ci95", f"{metric}_ci95"):
            names = [f"{kind}_{end}" for end in ("low", "high")]
            if all(name in self.done for name in names) and self.done[names].notna().all(axis=None):
                low, high = (float(self.done[name].mean()) for name in names)
                return low, high
        return None


@dataclass(frozen=True)
class Tree:
    """Everything that a place holds. name: as told to the user."""

    name: str
    cells: Mapping[Cell, Result]


def open_tree(word: str) -> Tree:
    """Return the results that a word stands for.

    A folder of runs; a folder with ``runs.csv``; such a file itself; a checkout with the published set ``standard``;
    else a revision of the git repository of the current folder, which has that set (``HEAD~3``) or another folder with
    ``runs.csv`` (``HEAD~3:results/unseen``). Raises UsageError if it is none of these, DataError for a table that
    cannot be read.
    """
    path = Path(word)
    if path.is_file():
        return _tree(word, read_table(path))
    if not path.is_dir():
        return _tree(f"commit {word}", _parsed(*_from_git(word)))
    if any_run(path):
        runs = table_runs(path)
        require_runs(runs, path)
        return _tree(word, runs_frame(runs), _entries(runs))
    for table in (path / TABLE, *(path / name for name in _STANDARD)):
        if table.is_file():
            return _tree(word, read_table(table))
    raise UsageError(
        f"{word} holds no runs and no {TABLE}; give a runs folder, a set such as results/standard, or a commit"
    )


def _tree(name: str, frame: pd.DataFrame, entries: Mapping[tuple[str, ...], Entry] | None = None) -> Tree:
    groups = [(tuple(map(str, kind)), rows) for kind, rows in frame.groupby(list(_KIND))]
    said = [_cell(rows.iloc[0]) for _, rows in groups]
    counts = Counter(said)
    cells = {}
    for cell, (kind, rows) in zip(said, groups, strict=True):
        own = cell if counts[cell] == 1 else replace(cell, twin=kind[-1])
        cells[own] = Result(rows, (entries or {}).get(kind))
    return Tree(name, cells)


def _cell(row: pd.Series[Any]) -> Cell:
    texts = without_folders(row["options"]), row["budget"]  # as the published tables have them
    options, budget = (json.loads(text) for text in texts)
    of_every = [name for name in ("mirror_test", "deterministic") if row.get(name) is True]
    options |= dict.fromkeys(of_every, True)  # what a comparison names where it has changed
    options, budget = (json.dumps(one, sort_keys=True) for one in (options, budget))
    data, protocol, revision, method = (str(row[name]) for name in _PLACE)
    return Cell(data, protocol, revision, method, options, budget, str(row.get("engine", "torch")))


def _entries(runs: Iterable[RunRecord]) -> dict[tuple[str, ...], Entry]:
    """Return the finished run folders of each cell."""
    found: dict[tuple[str, ...], list[RunRecord]] = {}
    for run in runs:
        if run.status == "done":
            found.setdefault(tuple(str(getattr(run.result, part)) for part in _KIND), []).append(run)
    return {kind: entry_of(same) for kind, same in found.items()}


def read_table(path: Path) -> pd.DataFrame:
    """Return a published table of runs. Raises DataError where it is none."""
    return _parsed(path.read_bytes(), str(path))


def _parsed(content: bytes, where: str) -> pd.DataFrame:
    try:
        frame = pd.read_csv(io.BytesIO(content), dtype={"key": str})
    except (ValueError, pd.errors.ParserError) as error:
        raise DataError(f"{where} is no table of runs: {error}") from error
    missing = [name for name in _NEEDED if name not in frame]
    if missing:
        raise DataError(f"{where} is no table of runs, or too old a one: it has no column {', '.join(missing)}")
    return frame


def _from_git(word: str) -> tuple[bytes, str]:
    """Return the table of runs that a revision holds, and what git calls it. word: REVISION or REVISION:FOLDER."""
    revision, _, folder = word.partition(":")
    top = _git("rev-parse", "--show-toplevel")
    if top.returncode:
        raise UsageError(
            f"{revision} is no folder here, and this folder is in no git repository: nothing to compare with"
        )
    if revision.startswith("-") or _git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").returncode:
        raise UsageError(f"{revision} is no folder and no commit of {top.stdout.decode().strip()}")
    wanted = [f"{folder.rstrip('/')}/{TABLE}"] if folder else _STANDARD
    for name in wanted:
        shown = _git("show", f"{revision}:{name}")
        if not shown.returncode:
            return shown.stdout, f"{revision}:{name}"
    raise DataError(f"commit {revision} has no {wanted[0]}: no such results were published there")


def _git(*words: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["git", *words], capture_output=True, check=False)  # noqa: S603, S607 - git of the user
    except OSError as error:
        raise UsageError(f"git cannot be run ({error.strerror or error}); give a folder to compare with") from error
