"""Methods compared over several draws of new classes: paired within each draw, judged by what varies between draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bench.contract import Draw, UsageError
from bench.evaluation.statistics.estimates import over_draws
from bench.evaluation.statistics.jackknife import OTHER_CLASSES
from bench.evaluation.statistics.paired_tests import compare_named
from bench.report.compare.compared import (
    Compared,
    Side,
    class_differences,
    compare_entries,
    in_classes,
    names_of,
    verdict_of,
)
from bench.report.tables.entries import Entry, entry_of
from bench.report.tables.wording import many

_ByDraw = dict[Draw, Entry]


def compare_rows(entries: Sequence[Entry], metric: str, *, changed: int) -> Compared:
    """Compare each row with the first: over draws where there are several, else query by query.

    changed: how many queries to name for each. Raises what `compare_entries` raises, and UsageError where rows are of
    other collections, or have no two draws in common.
    """
    rows = [by_draw(entry) for entry in entries]
    if all(len(row) == 1 for row in rows):
        return compare_entries(entries, metric, changed=changed)
    shared = [draw for draw in rows[0] if all(draw in row for row in rows)]
    names = names_of(entries)
    if len(shared) < 2:
        raise UsageError(
            f"{' and '.join(names)} have {many(len(shared), 'draw')} in common, and an interval over draws needs two; "
            "run them with the same --split-seeds, or compare one draw: 'METHOD[split_seed=0]'"
        )
    within = [compare_entries([row[draw] for row in rows], metric, changed=0) for draw in shared]
    return _over_draws(entries, rows, shared, within)


def by_draw(entry: Entry) -> _ByDraw:
    """Return a row's runs of each draw, in the order of the draws."""
    draws = dict.fromkeys(run.result.draw for run in entry.runs)
    return {draw: entry_of([run for run in entry.runs if run.result.draw == draw]) for draw in draws}


def _over_draws(
    entries: Sequence[Entry], rows: Sequence[_ByDraw], shared: Sequence[Draw], within: Sequence[Compared]
) -> Compared:
    """Return the comparisons within each draw as one. rows: an entry's runs by draw; within: one a shared draw."""
    first = within[0]
    means = [[one.sides[at].mean for one in within] for at in range(len(rows))]
    apart = [over_draws(np.subtract(values, means[0])) for values in means[1:]]
    compared = compare_named(apart)
    sides = []
    for at, name in enumerate(names_of(entries)):
        whole = over_draws(np.array(means[at]))
        seeds = sorted({run.result.seed for draw in shared for run in rows[at][draw].runs})
        by_name = dict(zip(map(str, shared), means[at], strict=True))
        side = Side(name, whole.mean, (whole.low, whole.high), tuple(seeds), draws=by_name)
        if at > 0:
            found = _classes(rows[0], rows[at], shared, first.metric)
            side = replace(side, **verdict_of(compared[at - 1], first.better), **in_classes(found, first.better))
        sides.append(side)
    queries = sum(one.queries for one in within)
    return replace(
        first,
        queries=queries,
        interval_of=OTHER_CLASSES,
        sides=tuple(sides),
        notes=tuple(_notes(rows, shared)),
    )


def _classes(reference: _ByDraw, row: _ByDraw, shared: Sequence[Draw], metric: str) -> dict[str, float]:
    """Return by class the mean difference over the draws that test on it."""
    found: dict[str, list[float]] = {}
    for draw in shared:
        first, values = (one[draw].values(metric).mean(axis=0) for one in (reference, row))
        for name, difference in class_differences(first, values, row[draw].queries()).items():
            found.setdefault(name, []).append(difference)
    return {name: float(np.mean(differences)) for name, differences in found.items()}


def _notes(rows: Sequence[_ByDraw], shared: Sequence[Draw]) -> list[str]:
    """Return what limits the verdicts, in words."""
    idle = sorted({str(draw) for row in rows for draw in row} - {str(draw) for draw in shared})
    notes = [f"left out, as not every row has them: draws {', '.join(idle)}"] if idle else []
    return [
        *notes,
        "intervals and verdicts are for other draws of this collection's classes, not for other collections",
    ]
