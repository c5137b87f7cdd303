"""One row a method for the overall table: chosen by budget and settings, never by its score."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from bench.contract import DataError
from bench.evaluation.metrics.chance import chance_level, perfect_level
from bench.report.tables.groups import Row, Table
from bench.report.tables.wording import plain
from bench.runs.artifacts import PER_QUERY, read_arrays

_ANY = "any budget"


@dataclass(frozen=True)
class Chosen:
    """What a table gives to the overall one.

    scores: method -> (score - chance) / (perfect - chance), not below 0; budget: the training its rows have in common;
    notes: method -> what its row does otherwise than the shared defaults; elsewhere: method -> why it has no score;
    part: whether only a chosen part of the data was used; reason: why the table cannot be counted, or nothing.
    """

    title: str
    dataset: str
    budget: str = _ANY
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
    part = all(row.first.content["spec"].get("data") for row in table.rows)
    return Chosen(table.title, table.dataset, budget, scores, notes, elsewhere, part)


def above_chance(score: float, chance: float, perfect: float = 1.0) -> float:
    """Return how far a score lies from chance (0, also where it is worse) to perfect (1)."""
    return max(0.0, (score - chance) / (perfect - chance)) if chance != perfect else 0.0


def common_budget(table: Table) -> str:
    """Return the budget that most trained methods of a table have, of equals the largest."""
    pairs = {(budget_of(row), str(row.first.content["method"])) for row in table.rows if row.trained}
    counts = Counter(budget for budget, _ in pairs)
    return max(counts, key=lambda budget: (counts[budget], _size(budget), budget)) if counts else _ANY


def budget_of(row: Row) -> str:
    """Return what a row was trained with, in words: seconds or epochs; any budget where nothing is trained."""
    if not row.trained:
        return _ANY
    spec = row.first.content["spec"]
    budget = spec.get("budget", {})
    if budget.get("seconds") is not None:
        return f"{budget['seconds']:g} s"
    epochs = spec.get("options", {}).get("epochs") if budget.get("epochs") is None else budget["epochs"]
    return f"{epochs:g} epochs" if epochs is not None else "a budget of its own"


def chance_and_perfect(table: Table) -> tuple[float, float] | None:
    """Return the score of a random and of a perfect order of a table's gallery, a mean over the queries.

    None where no run has kept its labels, and for a metric that does not follow from ranks.
    """
    if table.metric.formula is None:
        return None
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
            sizes = relevant[some], items[some]
            return float(chance_level(table.metric, *sizes).mean()), float(perfect_level(table.metric, *sizes).mean())
    return None


def _preference(row: Row) -> tuple[int, int, str]:
    content = row.first.content
    return len(content.get("deviations", {})), -len(row.records), json.dumps(content["key"])


def _size(budget: str) -> float:
    with suppress(ValueError):
        return float(budget.partition(" ")[0])
    return 0.0


def _deviations(row: Row) -> str:
    told = [
        f"{name} {plain(value)}" for name, value in row.first.content.get("deviations", {}).items() if name != "epochs"
    ]
    phases = row.first.content["spec"].get("budget", {}).get("phases")
    return ", ".join([*told, *([f"phases {phases}"] if phases else [])])
