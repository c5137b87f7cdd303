"""Where rungs are run: each a cell of a suite, in a process of its own, resumable, and judged in the usual table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from bench.choose.rungs import Rung
from bench.config import Config
from bench.contract import Dataset, Workplace
from bench.executors.executor import Limits
from bench.executors.process import LocalPool
from bench.report.recommend.answers import Question, answers_of
from bench.report.tables.frame import runs_frame
from bench.report.tables.groups import Table, tables_of
from bench.runs.run_plan import sized_for, spec_of
from bench.runs.store import RunRecord
from bench.suites.cell import CellProgram
from bench.suites.cost_model import Prediction, predict, trial_limit
from bench.suites.expansion import SuiteCell, made_with_options, side_of
from bench.suites.planning import Trials, is_done
from bench.suites.runner import Reporter, Runner

# Who is told of a run: what it is, with how many seconds are expected of it.
Watch = Callable[[str, float], Reporter]


@dataclass(frozen=True)
class Cells:
    """Runs rungs on one data set. word: what stands for it; question: what the best row must fulfil."""

    word: str
    data: Dataset
    config: Config
    place: Workplace
    question: Question
    watch: Watch
    memory: int | None = None

    def cell(self, rung: Rung, seed: int) -> SuiteCell:
        """Return a rung's run with one seed."""
        settings = replace(self.config.settings, epochs=rung.epochs, budget=None, seeds=(seed,))
        given = {**self.config.methods.get(rung.method, {}), **rung.options}
        made, options = made_with_options(rung.method, given)
        seen = sized_for(made, self.data, settings)
        spec = spec_of(rung.method, options, seen, settings, self.place.device.type)
        return SuiteCell(spec, seed, seen, self.word, settings, rung.options, side_of(made))

    def predict(self, rung: Rung, seed: int, seconds: float) -> Prediction:
        """Return what a run will take, from runs of its kind or else from a short trial.

        Nothing where it is done, or so small that it is its own trial.
        """
        cell = self.cell(rung, seed)
        if is_done(cell, self.place.root) or (not rung.learns and self._is_small(cell)):
            return Prediction(source="runs")
        watch = self.watch(f"{rung.words}: a short trial", 0.0)
        silent = Reporter(watch.show, lambda line: None)  # a trial that is done is no news
        trials = Trials(self.config, self.place, Limits(seconds, self.memory), silent)
        return predict([cell], self.place, trials.cut, trials.run)[0]

    def run(self, rung: Rung, seed: int, expected: Prediction, seconds: float) -> RunRecord | str:
        """Return the finished run, or why there is none."""
        cell = self.cell(rung, seed)
        limits = Limits(max(1.0, seconds), self.memory)
        pool = LocalPool(CellProgram(self.place, self.config.datasets), limits)
        watch = self.watch(rung.named(seed), expected.seconds)
        outcome = Runner([cell], self.place, pool, limits, watch).run()[0]
        return outcome.record if outcome.done and outcome.record is not None else outcome.why

    def in_question(self, records: Sequence[RunRecord]) -> list[RunRecord]:
        """Return the first runs of the best row and of those that cannot be told from it, the best first."""
        if not records:
            return []
        (found,) = answers_of(table_of(records), [self.question]).answers
        if found.winner is None:
            return []
        return [row.first for row in (found.winner, *(rival.row for rival in found.tied))]

    def _is_small(self, cell: SuiteCell) -> bool:
        """Whether a run is no longer than its trial would be."""
        most = trial_limit(cell)
        return len(self.data.train) <= most and len(self.data.query) + len(self.data.gallery) <= 2 * most


def table_of(records: Sequence[RunRecord]) -> Table:
    """Return the table of runs that were all asked the same."""
    return tables_of(records, runs_frame(records))[0]
