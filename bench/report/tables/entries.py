"""The runs behind one row of a table or one side of a comparison, and their values for every query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.contract import FIRST, DataError, Draw, RunResult, UsageError
from bench.evaluation.ranking.arrays import Floats, Ints
from bench.evaluation.statistics.estimates import Measured
from bench.evaluation.statistics.jackknife import OTHER_CLASSES, THESE_CLASSES
from bench.report.tables.wording import FIRST_RUN
from bench.runs.artifacts import PER_QUERY, REPLICATES, read_arrays
from bench.runs.store import RunRecord, all_runs, any_run, undamaged, without_copies


def table_runs(root: Path) -> list[RunRecord]:
    """Return the runs under a folder that tables are made of; what is damaged or copied is left out with a warning."""
    return without_copies(undamaged(all_runs(root), PER_QUERY, REPLICATES))


def require_runs(runs: Sequence[RunRecord], root: Path) -> None:
    """Raise UsageError where a folder has no run, so that no table is emptied; DataError where all were left out."""
    if runs:
        return
    if any_run(root):
        raise DataError(f"every run in {root} is left out; the warnings say why")
    missing = "" if root.is_dir() else " (no such folder)"
    raise UsageError(f"no runs in {root}{missing}; start with: {FIRST_RUN}; or name their folder with --runs")


@dataclass(frozen=True)
class Queries:
    """Who was asked: ids ``(q,)`` text or int64, labels int64 ``(q,)``, and the names that labels stand for."""

    ids: NDArray[Any]
    labels: Ints
    classes: tuple[str, ...]

    def same_as(self, other: Queries) -> bool:
        """Whether the same queries stand in the same order."""
        return np.array_equal(self.ids, other.ids) and np.array_equal(self.labels, other.labels)


@dataclass(frozen=True)
class Entry:
    """The finished runs of one specification, a seed each, in the order of their seeds; or of several draws of one."""

    name: str
    runs: tuple[RunRecord, ...]

    @property
    def where(self) -> tuple[str, str, str, str]:
        """What two entries must share to be compared: data set, protocol, the data's fingerprint, the rule for ties."""
        run = self.runs[0].result
        return *run.place, run.spec.ties

    def queries(self) -> Queries:
        """Read who was asked; the same for all seeds, or it is a DataError."""
        found = [_read_queries(run) for run in self.runs]
        for run, one in zip(self.runs, found, strict=True):
            if not one.same_as(found[0]):
                raise DataError(f"{run.folder} was asked other queries than {self.runs[0].folder}")
        return found[0]

    @property
    def estimand(self) -> str:
        """What its intervals shown speak of, by ``estimand_of``."""
        return estimand_of(self.runs[0].result)

    def measured(self, metric: str, estimand: str | None = None) -> Measured:
        """Read a metric's score of each seed, and what it is without each group; by default of what is shown.

        Raises DataError where it is gone.
        """
        name = f"{estimand or self.estimand}/{metric}"
        left_out = self._stacked(REPLICATES, name)
        scores = [run.result.scores.get(metric, np.nan) for run in self.runs]
        return Measured(np.array(scores, dtype=np.float64), left_out)

    def values(self, metric: str) -> Floats:
        """Read a metric's value for every query, float64 ``(seeds, q)``, NaN where there is nothing to find."""
        return self._stacked(PER_QUERY, metric)

    def _stacked(self, file: str, name: str) -> Floats:
        """Read a row of numbers of every run, as float64; DataError where they are none, or not equally many."""
        found = [read_arrays(run, file, name)[name] for run in self.runs]
        for run, one in zip(self.runs, found, strict=True):
            if one.dtype.kind not in "fiu" or one.ndim != 1 or one.shape != found[0].shape:
                raise DataError(f"{run.folder / file}: {name} is not the row of numbers that it should be")
        return np.stack(found).astype(np.float64, copy=False)

    def draw_means(self, metric: str) -> dict[Draw, float]:
        """Return a metric's mean of each draw, of its seeds' means over queries; draws without the metric are left out.

        In the order of the draws.
        """
        found: dict[Draw, list[float]] = {}
        for run in self.runs:
            if metric in run.result.scores:
                found.setdefault(run.result.draw, []).append(run.result.scores[metric])
        return {draw: float(np.mean(values)) for draw, values in found.items()}


def draw_order(draw: Draw) -> tuple[bool, int]:
    """Return what draws are sorted by: their seeds, and the one that is in the classes' order behind them."""
    return draw == FIRST, 0 if draw == FIRST else draw


def estimand_of(result: RunResult) -> str:
    """Return what the intervals shown of a run speak of.

    Other classes where those tested are new to the method, and there are three or more; else other images of these.
    """
    return OTHER_CLASSES if result.data.seen_classes is False and result.ci95_other_classes else THESE_CLASSES


def entry_of(runs: Sequence[RunRecord]) -> Entry:
    """Return finished runs of one specification as an entry, named after their method."""
    ordered = tuple(sorted(runs, key=lambda run: (draw_order(run.result.draw), run.result.seed)))
    return Entry(ordered[0].result.method, ordered)


def _read_queries(run: RunRecord) -> Queries:
    kept = read_arrays(run, PER_QUERY, "ids", "labels", "classes")
    return Queries(kept["ids"], kept["labels"].astype(np.int64), tuple(str(name) for name in kept["classes"]))
