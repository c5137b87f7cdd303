"""One row a method for the overall table: chosen by budget and settings, never by its score."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from bench.contract import DataError
from bench.evaluation.metrics.chance import expected_average_precision
from bench.report.tables.groups import RANKED_BY, Row, Table
from bench.report.tables.wording import plain
from bench.runs.artifacts import PER_QUERY, read_arrays


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

    scores: method -> (map - chance) / (1 - chance), not below 0; budget: the training that its rows have in common;
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
    elsewhere = {str(run.content["method"]): "failed" for run in table.failed}
    for row in sorted(table.rows, key=_preference):
        method = str(row.first.content["method"])
        if budget_of(row) in (_ANY, budget):
            chosen.setdefault(method, row)
        else:
            elsewhere[method] = f"only with {budget_of(row)}"
    elsewhere = {method: why for method, why in elsewhere.items() if method not in chosen}
    chance = chance_level(table)
    reason = "has fewer than two methods at one budget" if len(chosen) < 2 else ""
    if chance is None:
        reason = "its chance level is not known (no per-query labels)"
    if reason:
        lost = elsewhere | dict.fromkeys(chosen, "")
        return Chosen(table.title, table.dataset, budget, elsewhere=lost, reason=reason)
    scores = {method: above_chance(row.mean(RANKED_BY) or 0.0, chance or 0.0) for method, row in chosen.items()}
    notes = {method: text for method, row in chosen.items() if (text := _deviations(row))}
    part = all(row.first.content["spec"].get("data") for row in table.rows)
    return Chosen(table.title, table.dataset, budget, scores, notes, elsewhere, part)


def above_chance(score: float, chance: float) -> float:
    """Return how far a score lies from chance (0, also below it) to perfect (1)."""
    return max(0.0, (score - chance) / (1 - chance)) if chance < 1 else 0.0


def common_budget(table: Table) -> Training:
    """Return the budget that most trained methods of a table have, of equals the largest."""
    pairs = {(budget_of(row), str(row.first.content["method"])) for row in table.rows if row.trained}
    counts = Counter(budget for budget, _ in pairs)
    return max(counts, key=lambda budget: (counts[budget], budget)) if counts else _ANY


def budget_of(row: Row) -> Training:
    """Return what a row was trained with: seconds or epochs; any budget where nothing is trained."""
    if not row.trained:
        return _ANY
    spec = row.first.content["spec"]
    budget = spec.get("budget", {})
    if budget.get("seconds") is not None:
        return Training(budget["seconds"], "s")
    epochs = spec.get("options", {}).get("epochs") if budget.get("epochs") is None else budget["epochs"]
    return Training(epochs, "epochs") if epochs is not None else Training(unit="a budget of its own")


def chance_level(table: Table) -> float | None:
    """Return the expected map of a random order of a table's gallery, None where no run has kept its labels."""
    for row in table.rows:
        try:
            kept = read_arrays(row.first.folder / PER_QUERY, "ids", "labels", "gallery_ids", "gallery_labels")
        except DataError:
            continue
        itself = np.isin(kept["ids"], kept["gallery_ids"]).astype(np.int64)
        counts = np.bincount(kept["gallery_labels"], minlength=int(kept["labels"].max()) + 1)
        relevant = counts[kept["labels"]] - itself
        items = len(kept["gallery_labels"]) - itself
        some = relevant > 0
        if some.any():
            return float(expected_average_precision(relevant[some], items[some]).mean())
    return None


def _preference(row: Row) -> tuple[int, int, str]:
    content = row.first.content
    return len(content.get("deviations", {})), -len(row.records), json.dumps(content["key"])


def _deviations(row: Row) -> str:
    told = [
        f"{name} {plain(value)}" for name, value in row.first.content.get("deviations", {}).items() if name != "epochs"
    ]
    phases = row.first.content["spec"].get("budget", {}).get("phases")
    return ", ".join([*told, *([f"phases {phases}"] if phases else [])])
