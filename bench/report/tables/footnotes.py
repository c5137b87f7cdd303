"""What must be known of a row beside its numbers: flags, deviations from the shared defaults, budget, engine."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable

import pandas as pd

from bench.report.tables.wording import plain


def notes(runs: pd.DataFrame, but: Collection[str] = ()) -> str:
    """Return the notes of a row in words. runs: its runs, of the table of runs; but: what is told elsewhere."""
    return "; ".join(sorted(_found(runs) - set(but)))


def shared_notes(rows: Iterable[pd.DataFrame]) -> tuple[str, ...]:
    """Return the notes that several rows of a table all have: told once, under it. rows: the runs of each."""
    found = [_found(runs) for runs in rows]
    return tuple(sorted(set.intersection(*found))) if len(found) > 1 else ()


def _found(runs: pd.DataFrame) -> set[str]:
    found = {note for column in ("flags", "deviations") for texts in runs[column] for note in texts}
    for text in set(runs["budget"]):
        budget = json.loads(text)
        if budget.get("seconds") is not None:
            found.add(f"budget {budget['seconds']:g} s")
        found |= {f"{name} {plain(budget[name])}" for name in ("epochs", "phases") if budget.get(name) is not None}
    found |= {f"engine {engine}" for engine in runs["engine"] if engine != "torch"}
    return found
