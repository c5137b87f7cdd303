"""One row a method for the overall table: chosen by budget and settings, never by its score."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from bench.contract import LEAVES_NONE_OUT, DataError, Draw
from bench.evaluation.metrics.chance import chance_level, perfect_level
from bench.evaluation.metrics.metric import Metric
from bench.report.tables.groups import Row, Table
from bench.report.tables.wording import phrases
from bench.runs.artifacts import PER_QUERY, read_arrays
from bench.runs.ranked import read_lists
from bench.runs.store import RunRecord


@dataclass(frozen=True, order=True)
class Training:
    """How long a row was trained: so many epochs or seconds; without an amount, a budget of its own, or any."""

    amount: float = 0.0
    unit: str = "any budget"

    def __str__(self) -> str:
        return f"{self.amount:g} {self.unit}" if self.amount else self.unit


_ANY = Training()


@dataclass(frozen=True)
class Chosen:
    """What a table gives to the overall one.

    scores: method -> (score - chance) / (perfect - chance), not below 0; budget: the training its rows have in common;
    notes: method -> what its row does otherwise than the shared defaults; elsewhere: method -> why it has no score;
    part: whether only a chosen part of the data was used; reason: why the table cannot be counted, or nothing.
    """

    title: str
    dataset: str
    budget: Training = _ANY
    scores: Mapping[str, float] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    part: bool = False
    reason: str = ""

    @property
    def methods(self) -> set[str]:
        """Every method with a finished or failed run here."""
        return {*self.scores, *self.elsewhere}


def chosen_rows(table: Table) -> Chosen:
    """Return one row a method, all of one budget, as scores between chance and perfect.

    The budget is the one that most methods were trained with, of equals the larger; what trains nothing has any. Of a
    method's several rows: the fewest deviations from the shared defaults, then the most seeds, then the lowest key.
    """
    budget = common_budget(table)
    chosen: dict[str, Row] = {}
    elsewhere = {run.result.method: "failed" for run in table.failed}
    for row in sorted(table.rows, key=_preference):
        method = row.first.result.method
        if row.mean(table.metric.name) is None:
            elsewhere.setdefault(method, f"without {table.metric.name}")
        elif budget_of(row) in (_ANY, budget):
            chosen.setdefault(method, row)
        else:
            elsewhere[method] = f"only with {budget_of(row)}"
    elsewhere = {method: why for method, why in elsewhere.items() if method not in chosen}
    ends = chance_and_perfect(table)
    reason = "has fewer than two methods at one budget" if len(chosen) < 2 else ""
    if ends is None:
        reason = "its chance level is not known (no per-query labels, or not a metric of ranks alone)"
    if reason or ends is None:
        lost = elsewhere | dict.fromkeys(chosen, "")
        return Chosen(table.title, table.dataset, budget, elsewhere=lost, reason=reason)
    scores = {method: above_chance(row.score, *ends) for method, row in chosen.items()}
    notes = {method: text for method, row in chosen.items() if (text := _deviations(row))}
    part = all(set(row.first.result.spec.data) - LEAVES_NONE_OUT for row in table.rows)
    return Chosen(table.title, table.dataset, budget, scores, notes, elsewhere, part)


def above_chance(score: float, chance: float, perfect: float = 1.0) -> float:
    """Return how far a score lies from chance (0, also where it is worse) to perfect (1)."""
    return max(0.0, (score - chance) / (perfect - chance)) if chance != perfect else 0.0


def common_budget(table: Table) -> Training:
    """Return the budget that most trained methods of a table have, of equals the largest."""
    pairs = {(budget_of(row), row.first.result.method) for row in table.rows if row.trained}
    counts = Counter(budget for budget, _ in pairs)
    return max(counts, key=lambda budget: (counts[budget], budget)) if counts else _ANY


def budget_of(row: Row) -> Training:
    """Return what a row was trained with: seconds or epochs; any budget where nothing is trained."""
    if not row.trained:
        return _ANY
    spec = row.first.result.spec
    budget = spec.budget
    if budget.seconds is not None:
        return Training(budget.seconds, "s")
    epochs = spec.options.get("epochs") if budget.epochs is None else budget.epochs
    return Training(epochs, "epochs") if epochs is not None else Training(unit="a budget of its own")


def chance_and_perfect(table: Table) -> tuple[float, float] | None:
    """Return the score of a random and of a perfect order of a table's gallery: means over queries, then over draws.

    None where no run has kept its files, and for a metric that does not follow from ranks.
    """
    if table.metric.formula is None:
        return None
    found: dict[Draw, tuple[float, float]] = {}
    for record in (record for row in table.rows for record in row.records):
        if record.result.draw not in found and (ends := _ends_of(record, table.metric)) is not None:
            found[record.result.draw] = ends
    if not found:
        return None
    chance, perfect = np.mean(list(found.values()), axis=0)
    return float(chance), float(perfect)


def _ends_of(record: RunRecord, metric: Metric) -> tuple[float, float] | None:
    """Return the same of one run's gallery, None where its files are gone or no query has anything to find."""
    try:
        kept = read_arrays(record, PER_QUERY, "relevant", "items")
    except DataError:
        return None
    if metric.graded and (lists := read_lists(record).get("positives")) is not None and lists.gains is not None:
        return None  # R and N do not decide it
    some = kept["relevant"] > 0
    if not some.any():
        return None
    sizes = kept["relevant"][some], kept["items"][some]
    return float(chance_level(metric, *sizes).mean()), float(perfect_level(metric, *sizes).mean())


def _preference(row: Row) -> tuple[int, int, str]:
    run = row.first.result
    return len(run.deviations), -len(row.records), run.key


def _deviations(row: Row) -> str:
    run = row.first.result
    found = phrases({name: value for name, value in run.deviations.items() if name != "epochs"})
    phases = run.spec.budget.phases
    return ", ".join([*found, *([f"phases {list(phases)}"] if phases else [])])
