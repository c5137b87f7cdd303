"""The leaderboard in few columns, for a terminal; ``leaderboard.md`` has them all."""

from __future__ import annotations

import pandas as pd
from tabulate import tabulate

from bench.evaluation.metrics.registry import describe
from bench.report.tables.footnotes import notes, shared_notes
from bench.report.tables.frame import interval_of, mean_over, metric_of, shown_columns
from bench.report.tables.leaderboard import below, cell, groups_of, ranked_rows, row_labels, tables, titled
from bench.report.tables.wording import failures

_ALWAYS = ("map", "hit@1")
# heading, columns of the table of runs whose sum it is
_COSTS = (
    ("ms", ("embed_1_median_ms", "search_median_ms")),
    ("bytes", ("bytes_per_vector",)),
    ("train s", ("fit_seconds",)),
)


def brief_tables(frame: pd.DataFrame, *, more: bool) -> str:
    """Return the tables of some runs as Markdown: rank, method, map, hit@1, ms a query, bytes a vector, training time.

    frame: the table of runs; more: also the other columns, behind these, for as many as fit.
    """
    if frame.empty:
        return tables(frame)
    parts = []
    for title, group in groups_of(frame):
        parts += [f"## {title}", "", _table(group, more=more), "", *below(group), ""]
    return "\n".join(parts).rstrip()


def _table(group: pd.DataFrame, *, more: bool) -> str:
    """Return one table, what its rows are flagged with, and its failed runs."""
    done = group[group["status"] == "done"]
    labels, ranked = row_labels(done), ranked_rows(group)
    shared = shared_notes(runs for _, runs in ranked)
    metric = metric_of(group)
    scores = [describe(name) for name in dict.fromkeys((metric.name, *_ALWAYS))]
    told = {*(score.name for score in scores), "embed_1_median_ms", "search_median_ms", "fit_seconds"}
    others = [column for column in shown_columns(done) if more and column.name not in told]
    rows, flagged = [], []
    for kind, runs in ranked:
        row = [str(int(runs["rank"].iloc[0])), labels[kind]]
        row += [_number(mean_over(runs, score.name), digits=3) for score in scores]
        row += [_number(_cost(runs, names)) for _, names in _COSTS]
        if more:
            row += [
                _interval(runs, metric.name),
                *(cell(runs, column) for column in others),
                str(len(runs)),
                notes(runs, shared),
            ]
        rows.append(row)
        flags = sorted({flag for flags in runs["flags"] for flag in flags} - {*shared})
        flagged += [f"- `{labels[kind]}`: {'; '.join(flags)}"] if flags else []
    heads = ["#", "method", *(titled(score) for score in scores), *(f"{name} ↓" for name, _ in _COSTS)]
    heads += ["± 95 %", *(titled(column) for column in others), "seeds", "notes"] if more else []
    sides = ["right" if head not in ("method", "notes") else "left" for head in heads]
    text = tabulate(rows, heads, tablefmt="pipe", disable_numparse=True, colalign=sides) if rows else ""
    lines = [*flagged, *(f"- {line}" for line in failures(group))]
    every = [f"**Every row**: {'; '.join(shared)}."] if shared else []
    return "\n".join([text, *(["", *lines] if lines else []), *(["", *every] if every else [])]).strip()


def _cost(runs: pd.DataFrame, names: tuple[str, ...]) -> float | None:
    """Return a sum of means over seeds, None where one is missing."""
    means = [mean_over(runs, name) for name in names]
    return None if None in means else sum(mean for mean in means if mean is not None)


def _interval(runs: pd.DataFrame, metric: str) -> str:
    """Return half the interval of a metric over queries and seeds; the run's own where there is none over seeds."""
    ends = interval_of(runs, f"{metric}_seeds_ci95") or interval_of(runs, f"{metric}_ci95")
    return _number(None if ends is None else (ends[1] - ends[0]) / 2, digits=3)


def _number(value: float | None, digits: int | None = None) -> str:
    """Return a number with so many decimals; without, in three digits, and at most three decimals."""
    if value is None:
        return "-"
    if digits is None:
        digits = next((count for count, limit in ((3, 0.9995), (2, 9.995), (1, 99.95)) if value < limit), 0)
    return f"{value:,.{digits}f}"
