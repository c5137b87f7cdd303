"""Who stands where in a table: methods that cannot be told apart from the best share its rank."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np

from bench.contract import DataError, UsageError
from bench.evaluation.metrics.metric import Metric
from bench.evaluation.metrics.registry import DEFAULT, columns, describe, ranked_by
from bench.evaluation.ranking.arrays import Floats
from bench.evaluation.statistics.bootstrap import interval, seeds_by_queries, units
from bench.evaluation.statistics.paired_tests import ALPHA, Comparison, compare, drawn_as, smallest_p
from bench.report.tables.entries import Entry, Queries, entry_of
from bench.runs.store import RunRecord

_LOG = logging.getLogger(__name__)

Row = tuple[str, str, str, str, str]  # data set, protocol, the data's fingerprint, method, key


@dataclass(frozen=True)
class RankGroup:
    """Where a row stands in its table.

    rank: 1 for the best and all that cannot be told apart from it, else the place by the mean; against: the comparison
    with the best, None for the best itself and where it could not be made; ci95: intervals of the mean over seeds,
    seeds and queries drawn anew; note: what the table's reader must know of its ranks.
    """

    rank: int
    against: Comparison | None = None
    ci95: dict[str, tuple[float, float]] = field(default_factory=dict)
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
    known = _comparable(rows, ordered, metric)
    if not known:
        return found
    queries, values = known
    names = list(values)
    best, *others = (values[row][metric.name] for row in names)
    compared = compare(best, others, queries.labels)
    against = dict(zip(names[1:], compared, strict=True))
    intervals = _intervals(values, queries)
    note = _note(compared, queries, best, metric)
    for row in names:
        tied = row not in against or not against[row].separable
        rank = 1 if tied else found[row].rank
        found[row] = RankGroup(rank, against.get(row), intervals[row], note)
    return found


def _merit(entry: Entry, metric: Metric) -> float:
    """Return the mean over seeds, the larger the better; minus infinity where a run has none."""
    found = [run.result.scores.get(metric.name, np.nan) for run in entry.runs]
    return -np.inf if np.isnan(found).any() else metric.sign * float(np.mean(found))


def _comparable(
    rows: dict[Row, Entry], ordered: Sequence[Row], metric: Metric
) -> tuple[Queries, dict[Row, dict[str, Floats]]] | None:
    """Return who was asked and the values of all rows that were asked the same, best first; None without the best's."""
    values: dict[Row, dict[str, Floats]] = {}
    queries = None
    for row in ordered:
        entry = rows[row]
        try:
            asked = entry.queries()
            shown = columns(entry.runs[0].result.scores, metric.name)
            found = {one.name: entry.values(one.name) for one in shown if one.interval or one.name == metric.name}
        except DataError as error:
            _LOG.warning("%s keeps its place, untested: %s", entry.name, error)
            if queries is None:
                return None
            continue
        queries = queries or asked
        if not asked.same_as(queries) or entry.where != rows[ordered[0]].where:
            _LOG.warning("%s keeps its place, untested: other queries or ties than %s", entry.name, ordered[0][3])
            continue
        values[row] = found
    return (queries, values) if queries is not None else None


def _intervals(values: dict[Row, dict[str, Floats]], queries: Queries) -> dict[Row, dict[str, tuple[float, float]]]:
    """Return each row's intervals; one draw of queries serves all rows and metrics."""
    cells = [(row, metric, found) for row, metrics in values.items() for metric, found in metrics.items()]
    columns = np.concatenate([found for *_, found in cells]).T
    means = seeds_by_queries(columns, queries.labels, [len(found) for *_, found in cells])
    low, high = interval(means, len(units(columns[:, :1], queries.labels)[1]))
    ends: dict[Row, dict[str, tuple[float, float]]] = {row: {} for row in values}
    for at, (row, metric, _) in enumerate(cells):
        ends[row][metric] = (float(low[at]), float(high[at]))
    return ends


def _note(compared: Sequence[Comparison], queries: Queries, best: Floats, metric: Metric) -> str:
    """Return what this query set can show, in words; nothing for a table of one."""
    if not compared:
        return ""
    drawn = len(units(best.mean(axis=0)[:, None], queries.labels)[1])
    what = drawn_as(best.mean(axis=0), queries.labels)
    if smallest_p(drawn) * len(compared) > ALPHA:
        return f"{drawn} {what} are too few to tell any of {len(compared) + 1} rows apart at 5 %: all share rank 1"
    shown = [f"{one:.3f}" for one in (min(c.detectable for c in compared), max(c.detectable for c in compared))]
    reach = shown[0] if shown[0] == shown[1] else f"{shown[0]} (the row most like it) to {shown[1]} (the least)"
    return (
        f"rank 1 is shared by all that cannot be told apart from the best by {metric.name} at 5 % (paired permutation "
        f"test on {drawn:,} {what}, Holm). The smallest difference from the best that this query set shows with 80 % "
        f"power is {reach}"
    )


def columns_of(rank_group: RankGroup | None, rank_by: str = DEFAULT) -> dict[str, Any]:
    """Return a rank_group as columns of the table of runs; empty ones for a run without. rank_by: what it ranks by."""
    against = rank_group.against if rank_group else None
    ends = rank_group.ci95 if rank_group else {}
    return {
        "rank": rank_group.rank if rank_group else None,
        "ranked_by": describe(rank_by).name,
        "p_holm_from_best": against.p_holm if against else None,
        "detectable_from_best": against.detectable if against else None,
        **{
            f"{metric}_seeds_ci95_{end}": both[at]
            for metric, both in ends.items()
            for at, end in enumerate(("low", "high"))
        },
        "rank_note": rank_group.note if rank_group else "",
    }
