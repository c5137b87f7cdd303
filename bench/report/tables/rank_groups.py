"""Who stands where in a table: methods that cannot be told apart from the best share its rank."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np

from bench.contract import DataError, UsageError
from bench.evaluation.metrics.metric import Metric
from bench.evaluation.metrics.registry import DEFAULT, columns, describe, ranked_by
from bench.evaluation.statistics.estimates import Measured, estimate
from bench.evaluation.statistics.jackknife import ESTIMANDS, THESE_CLASSES
from bench.evaluation.statistics.paired_tests import Comparison, compare_with_best
from bench.report.tables.entries import Entry, Queries, entry_of
from bench.runs.store import RunRecord

_LOG = logging.getLogger(__name__)

Row = tuple[str, str, str, str, str]  # data set, protocol, the data's fingerprint, method, key


@dataclass(frozen=True)
class RankGroup:
    """Where a row stands in its table.

    rank: 1 for the best and all that cannot be told apart from it, else the place by the mean; against: the comparison
    with the best, None for the best itself and where it could not be made; ci95: intervals of the mean over seeds, with
    images (or classes) and seeds drawn anew; estimand: which of the two they speak of; note: what the table's reader
    must know of its ranks.
    """

    rank: int
    against: Comparison | None = None
    ci95: dict[str, tuple[float, float]] = field(default_factory=dict)
    estimand: str = THESE_CLASSES
    note: str = ""


def rank_groups(runs: Sequence[RunRecord], rank_by: str = DEFAULT) -> dict[Row, RankGroup]:
    """Return the rank_group of every row of every table: a table is a data set, revision and protocol.

    rank_by: the metric; UsageError where it is none that rows can be ranked by, or no run has it. Reads each finished
    run's per-query values. A run whose values are missing, or are of other queries than those of its table's best,
    keeps its place by the mean; one without the metric stands last.
    """
    metric = ranked_by(rank_by)
    done = sorted((run for run in runs if run.status == "done"), key=_row)
    if done and not any(metric.name in run.result.scores for run in done):
        asked = "" if metric.depth is None else f"; `-k {metric.depth}` asks a run for it"
        raise UsageError(f"no run has {metric.name}{asked}")
    found: dict[Row, RankGroup] = {}
    for _, table in groupby(done, key=lambda run: _row(run)[:3]):
        rows = {row: entry_of(list(same)) for row, same in groupby(table, key=_row)}
        found |= _stand(rows, metric)
    return found


def _row(run: RunRecord) -> Row:
    return *run.result.place, run.result.method, run.result.key


def _stand(rows: dict[Row, Entry], metric: Metric) -> dict[Row, RankGroup]:
    """Return the rank_groups in one table."""
    ordered = sorted(rows, key=lambda row: -_merit(rows[row], metric))
    found = {row: RankGroup(place) for place, row in enumerate(ordered, start=1)}
    values = _comparable(rows, ordered, metric)
    if not values:
        return found
    names = list(values)
    best, *others = (values[row][metric.name] for row in names)
    compared = compare_with_best(best, others, len(rows))
    against = dict(zip(names[1:], compared, strict=True))
    estimand = rows[names[0]].estimand
    note = _note(compared, [rows[row] for row in names], metric)
    for row in names:
        tied = row not in against or not against[row].separable
        ends = {name: (one.low, one.high) for name, measured in values[row].items() for one in (estimate(measured),)}
        known = {name: both for name, both in ends.items() if not np.isnan(both).any()}
        found[row] = RankGroup(1 if tied else found[row].rank, against.get(row), known, estimand, note)
    return found


def _merit(entry: Entry, metric: Metric) -> float:
    """Return the mean over seeds, the larger the better; minus infinity where a run has none."""
    found = [run.result.scores.get(metric.name, np.nan) for run in entry.runs]
    return -np.inf if np.isnan(found).any() else metric.sign * float(np.mean(found))


def _comparable(rows: dict[Row, Entry], ordered: Sequence[Row], metric: Metric) -> dict[Row, dict[str, Measured]]:
    """Return the scores of all rows that were asked the same, best first; nothing without the best's."""
    values: dict[Row, dict[str, Measured]] = {}
    queries: Queries | None = None
    for row in ordered:
        entry = rows[row]
        try:
            asked = entry.queries()
            shown = columns(entry.runs[0].result.scores, metric.name)
            found = {one.name: entry.measured(one.name) for one in shown if one.interval or one.name == metric.name}
        except DataError as error:
            _LOG.warning("%s keeps its place, untested: %s", entry.name, error)
            if queries is None:
                return {}
            continue
        queries = queries or asked
        if not asked.same_as(queries) or entry.where != rows[ordered[0]].where:
            _LOG.warning("%s keeps its place, untested: other queries or ties than %s", entry.name, ordered[0][3])
            continue
        if not _of_one_shape(found, values):
            _LOG.warning("%s keeps its place, untested: its scores are of other groups of images", entry.name)
            continue
        values[row] = found
    return values


def _of_one_shape(found: Mapping[str, Measured], others: Mapping[Row, Mapping[str, Measured]]) -> bool:
    """Whether scores were measured on as many groups of images as the others', where these have the same."""
    return all(
        one.replicates.shape[1:] == known[name].replicates.shape[1:]
        for known in others.values()
        for name, one in found.items()
        if name in known
    )


def _note(compared: Sequence[Comparison], entries: Sequence[Entry], metric: Metric) -> str:
    """Return what this query set can show, in words; of a table of one what its interval speaks of."""
    of_interval = _of_interval(entries[0], metric)
    if not compared:
        return of_interval
    shown = [f"{one:.3f}" for one in (min(c.detectable for c in compared), max(c.detectable for c in compared))]
    reach = shown[0] if shown[0] == shown[1] else f"{shown[0]} (the row most like it) to {shown[1]} (the least)"
    single = sum(len(entry.runs) == 1 and entry.runs[0].result.trained for entry in entries)
    of_one = f"; {single} of these rows are one training each: they speak of that model, not of its method"
    return (
        f"rank 1 is shared by all that cannot be told apart from the best by {metric.name} at 5 %, were there "
        f"{ESTIMANDS[entries[0].estimand]} and other seeds (corrected for the best being chosen afterwards). The "
        f"smallest difference from the best that this query set shows with 80 % power is {reach}"
        + (of_one if single else "")
        + f". {of_interval}"
    )


def _of_interval(best: Entry, metric: Metric) -> str:
    """Return what ± speaks of, and what it would be for the best row if it spoke of the other estimand."""
    shown = best.estimand
    other = next(one for one in ESTIMANDS if one != shown)
    try:
        found = estimate(best.measured(metric.name, other))
    except DataError:  # too few classes
        return f"± is for {ESTIMANDS[shown]}"
    return f"± is for {ESTIMANDS[shown]}; for {ESTIMANDS[other]} the best row has {found}"


def columns_of(rank_group: RankGroup | None, rank_by: str = DEFAULT) -> dict[str, Any]:
    """Return a rank_group as columns of the table of runs; empty ones for a run without. rank_by: what it ranks by."""
    against = rank_group.against if rank_group else None
    ends = rank_group.ci95 if rank_group else {}
    return {
        "rank": rank_group.rank if rank_group else None,
        "ranked_by": describe(rank_by).name,
        "p_from_best": against.p_corrected if against else None,
        "detectable_from_best": against.detectable if against else None,
        **{
            f"{metric}_seeds_ci95_{end}": both[at]
            for metric, both in ends.items()
            for at, end in enumerate(("low", "high"))
        },
        "interval_of": rank_group.estimand if rank_group else None,
        "rank_note": rank_group.note if rank_group else "",
    }
