"""The Markdown leaderboard, whole and brief: one table for each data set, revision and protocol, never mixing two."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeAlias

import pandas as pd

from bench.evaluation.metrics.metric import Metric
from bench.evaluation.metrics.registry import describe
from bench.report.tables.draws import over_draws
from bench.report.tables.footnotes import below, notes, shared_notes
from bench.report.tables.frame import (
    counted,
    draws_of,
    given,
    interval_of,
    merit,
    metric_of,
    row_interval,
    shown_columns,
    sum_over,
    values_of_row,
)
from bench.report.tables.published import Figure
from bench.report.tables.wording import FIRST_RUN, choices_in_words, failures, markdown_table, row_labels

_Column: TypeAlias = tuple[str, Callable[[pd.DataFrame], str]]  # heading, and a row's cell by its runs
_SEEDS: _Column = ("seeds", counted)
_INPUT: _Column = ("input", given)
_ALWAYS = ("map", "hit@1")
# of a brief table: heading, columns of the table of runs whose sum it is
_COSTS = (
    ("ms", ("query_ms",)),
    ("bytes", ("bytes_per_vector",)),
    ("train s", ("fit_seconds",)),
)


def leaderboard(
    frame: pd.DataFrame, overall: str = "", columns: Sequence[str] = (), figures: Sequence[Figure] = ()
) -> str:
    """Return the whole leaderboard as Markdown, made from the table of runs.

    overall: the section about all tables; figures: published ones to tell below their tables, beside those known.
    """
    head = _HEAD.format(metric=metric_of(frame).name)
    return "\n".join([head, *([overall, ""] if overall else []), tables(frame, columns, figures)]) + "\n"


def tables(frame: pd.DataFrame, columns: Sequence[str] = (), figures: Sequence[Figure] = ()) -> str:
    """Return the leaderboard's tables without its introduction. columns: names to show, else what is usual."""
    return _with_footnotes(frame, partial(table, columns=columns), figures)


def brief_tables(frame: pd.DataFrame, *, more: bool) -> str:
    """Return the tables of some runs: rank, method, map, hit@1, ms a query, bytes a vector, training time.

    frame: the table of runs; more: also the other columns, behind these, for as many as fit.
    """
    return _with_footnotes(frame, partial(_brief_table, more=more))


def _with_footnotes(frame: pd.DataFrame, write: Callable[[pd.DataFrame], str], figures: Sequence[Figure] = ()) -> str:
    if frame.empty:
        return f"No runs yet. Start with `{FIRST_RUN}`."
    parts = [
        part for title, group in groups_of(frame) for part in (f"## {title}", write(group), *below(group, figures))
    ]
    return "\n\n".join(parts)


def groups_of(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield every table's title and its runs: one data set, one protocol, one revision of the data or all its draws."""
    if frame.empty:
        return
    frame = over_draws(frame)
    for (name, protocol, revision), group in frame.groupby(["dataset", "protocol", "dataset_revision"], sort=True):
        alike = frame[(frame["dataset"] == name) & (frame["protocol"] == protocol)]
        several = alike["dataset_revision"].nunique() > 1
        draws = [f"{draws_of(group)} draws"] if draws_of(group) > 1 else []
        apart = data_choices(group) + draws + ([f"data {str(revision)[:8]}"] if several else [])
        yield " · ".join([str(name), str(protocol), *apart]), group


def ranked_rows(group: pd.DataFrame) -> list[tuple[tuple[str, str], pd.DataFrame]]:
    """Return a table's finished rows, the best first: (method, key), and the runs of its seeds."""
    done = group[group["status"] == "done"]
    rows = [((str(method), str(key)), runs) for (method, key), runs in done.groupby(["method", "key"])]
    return sorted(rows, key=lambda row: -merit(row[1]))


def data_choices(group: pd.DataFrame) -> list[str]:
    """Return what was chosen of the data, in words: part of a table's title.

    A table's rows share their images. Where one of them chose nothing, the others' choice left nothing out.
    """
    if "{}" in set(group["data"]):
        return []
    told = [words for text in sorted(set(group["data"])) for words in choices_in_words(json.loads(text))]
    return list(dict.fromkeys(told))


def table(group: pd.DataFrame, columns: Sequence[str] = ()) -> str:
    """Return one table: finished methods, the best first, with ranks, what all rows share, and the failed runs."""
    shown = shown_columns(group[group["status"] == "done"], columns)
    return _table(group, [*map(_in_full, shown), _INPUT, _SEEDS], noted=True, flagged=False)


def _brief_table(group: pd.DataFrame, *, more: bool) -> str:
    scores = [describe(name) for name in dict.fromkeys((metric_of(group).name, *_ALWAYS))]
    columns: list[_Column] = [(titled(one), partial(_mean, names=(one.name,), digits=3)) for one in scores]
    columns += [(f"{name} ↓", partial(_mean, names=names)) for name, names in _COSTS]
    if more or group.loc[group["status"] == "done", "input"].nunique() > 1:
        columns.append(_INPUT)
    if more:
        told = {*(score.name for score in scores), "query_ms", "fit_seconds"}
        others = [one for one in shown_columns(group[group["status"] == "done"]) if one.name not in told]
        columns += [("± 95 %", _half_interval), *map(_in_full, others), _SEEDS]
    return _table(group, columns, noted=more, flagged=True)


def _table(group: pd.DataFrame, columns: Sequence[_Column], *, noted: bool, flagged: bool) -> str:
    """Return a table of these columns. noted: with the rows' notes in a last one; flagged: with their flags below."""
    labels, ranked = row_labels(group[group["status"] == "done"]), ranked_rows(group)
    shared = shared_notes(runs for _, runs in ranked)
    rows, lines = [], []
    for kind, runs in ranked:
        cells = [*(written(runs) for _, written in columns), *([notes(runs, shared)] if noted else [])]
        rows.append([str(int(runs["rank"].iloc[0])), labels[kind], *cells])
        flags = sorted({flag for flags in runs["flags"] for flag in flags} - {*shared})
        lines += [f"`{labels[kind]}`: {'; '.join(flags)}"] if flagged and flags else []
    heads = ["#", "method", *(heading for heading, _ in columns), *(["notes"] if noted else [])]
    text = markdown_table(heads, rows, f"rl{'r' * len(columns)}{'l' if noted else ''}")
    listed = "\n".join(f"- {line}" for line in [*lines, *failures(group)])
    every = f"**Every row**: {'; '.join(shared)}." if shared else ""
    return "\n\n".join(filter(None, (text, listed, every)))


def _in_full(column: Metric) -> _Column:
    return titled(column), partial(cell, column=column)


def titled(column: Metric) -> str:
    """Return what stands over a column: its heading and which way is better."""
    return f"{column.heading} {column.arrow}".strip()


def cell(runs: pd.DataFrame, column: Metric) -> str:
    """Return a row's value of a column as written: the mean over seeds and draws, with half its interval."""
    values = values_of_row(runs, column.name)
    if values.empty:
        return "-"
    text = f"{values.mean():,.{column.digits}f}"
    if not column.interval and column.name != metric_of(runs).name:
        return text
    spread = f"{values.std(ddof=1):,.{column.digits}f} sd" if len(values) > 1 else ""
    ends = interval_of(runs, f"{column.name}_seeds_ci95")
    if ends is None:  # no per-query values: the run's own interval, or the seeds' spread alone
        ends = None if spread else interval_of(runs, f"{column.name}_ci95")
    if ends is None:
        return f"{text} ± {spread}" if spread else text
    half = f"{text} ± {(ends[1] - ends[0]) / 2:,.{column.digits}f}"
    return f"{half} ({spread})" if spread else half


def _half_interval(runs: pd.DataFrame) -> str:
    """Return half the 95 % interval of what a row is ranked by, over queries and seeds."""
    ends = row_interval(runs, metric_of(runs).name)
    return "-" if ends is None else f"{(ends[1] - ends[0]) / 2:,.3f}"


def _mean(runs: pd.DataFrame, *, names: Sequence[str], digits: int | None = None) -> str:
    """Return a sum of means over seeds with so many decimals; without, in three digits, and at most three decimals."""
    value = sum_over(runs, names)
    if value is None:
        return "-"
    if digits is None:
        digits = next((count for count, limit in ((3, 0.9995), (2, 9.995), (1, 99.95)) if value < limit), 0)
    return f"{value:,.{digits}f}"


_HEAD = """# Leaderboard

Made by `simbench leaderboard` from the run folders. ↑ more is better, ↓ less is better. `±` is half the 95 %
interval: over other images of the same classes or, where the classes are new, over other classes, and over seeds
where there are several; the seeds' standard deviation (sd) stands behind it. Rows stand in the order of {metric};
those not significantly different from the best of their table share its rank 1, the others have their place
([statistics](../../docs/design/statistics.md)). Every number is defined in
[metrics](../../docs/reference/metrics.md); a `+` behind a commit marks uncommitted changes. Protocols: `holdout` one
fifth of the test images ask, the rest answer; `loo` every test image asks all the others; `database` test images ask
the training images; `unseen` test images of classes that were not trained on; `given` as the data set says. A leak
under a table counts images to test on that were seen in training ([audit](../../docs/design/audit.md)). Latency is
one image (embed) or one query (search), median and (embed) 95th percentile, on the machine named below each table, as
the row's own runs measured it; `one query` is embedding and search together, over all runs of the same network; FLOPs
are twice the multiply-adds of one image ([latency](../../docs/guides/latency.md)).
"""
