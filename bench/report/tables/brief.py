"""The leaderboard in few columns, for a terminal; ``leaderboard.md`` has them all."""

from __future__ import annotations

import pandas as pd
from tabulate import tabulate

from bench.report.tables.footnotes import notes, shared_notes
from bench.report.tables.frame import interval_of, mean_over
from bench.report.tables.leaderboard import COLUMNS, below, cell, groups_of, ranked_rows, row_labels, tables
from bench.report.tables.wording import failures

_SCORES = ("map", "hit@1")
# heading, columns of the table of runs whose sum it is
_COSTS = (
    ("ms", ("embed_1_median_ms", "search_median_ms")),
    ("bytes", ("bytes_per_vector",)),
    ("train s", ("fit_seconds",)),
)
_OTHERS = tuple(column for column in COLUMNS if column.source not in (*_SCORES, "fit_seconds"))


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
    others = [column for column in _OTHERS if more and column.source in done and done[column.source].notna().any()]
    rows, flagged = [], []
    for kind, runs in ranked:
        row = [str(int(runs["rank"].iloc[0])), labels[kind]]
        row += [_number(mean_over(runs, name), digits=3) for name in _SCORES]
        row += [_number(_cost(runs, names)) for _, names in _COSTS]
        if more:
            row += [_interval(runs), *(cell(runs, column) for column in others), str(len(runs)), notes(runs, shared)]
        rows.append(row)
        flags = sorted({flag for text in runs["flags"] for flag in str(text).split("; ")} - {"", *shared})
        flagged += [f"- `{labels[kind]}`: {'; '.join(flags)}"] if flags else []
    heads = ["#", "method", *(f"{name} ↑" for name in _SCORES), *(f"{name} ↓" for name, _ in _COSTS)]
    heads += ["± 95 %", *(column.title for column in others), "seeds", "notes"] if more else []
    sides = ["right" if head not in ("method", "notes") else "left" for head in heads]
    text = tabulate(rows, heads, tablefmt="pipe", disable_numparse=True, colalign=sides) if rows else ""
    lines = [*flagged, *(f"- {line}" for line in failures(group))]
    every = [f"**Every row**: {'; '.join(shared)}."] if shared else []
    return "\n".join([text, *(["", *lines] if lines else []), *(["", *every] if every else [])]).strip()


def _cost(runs: pd.DataFrame, names: tuple[str, ...]) -> float | None:
    """Return a sum of means over seeds, None where one is missing."""
    means = [mean_over(runs, name) for name in names]
    return None if None in means else sum(mean for mean in means if mean is not None)


def _interval(runs: pd.DataFrame) -> str:
    """Return half the interval of map over queries and seeds; the run's own where there is none over seeds."""
    ends = interval_of(runs, "map_seeds_ci95") or interval_of(runs, "map_ci95")
    return _number(None if ends is None else (ends[1] - ends[0]) / 2, digits=3)


def _number(value: float | None, digits: int | None = None) -> str:
    """Return a number with so many decimals, or three significant digits; whole from 100."""
    if value is None:
        return "-"
    if digits is not None:
        return f"{value:.{digits}f}"
    return f"{value:,.0f}" if value >= 99.95 or value == 0 else f"{value:#.3g}"
