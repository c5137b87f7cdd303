"""The Markdown leaderboard: one table for each data set, revision and protocol; a table never mixes two."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
from tabulate import tabulate

from bench.contract import Baseline
from bench.data.splits.protocols import unseen
from bench.evaluation.metrics.metric import Metric
from bench.report.tables.footnotes import notes, shared_notes
from bench.report.tables.frame import interval_of, merit, metric_of, shown_columns
from bench.report.tables.wording import FIRST_RUN, choices_in_words, days, failures, many, varied_choices

_EMPTY = "-"


def leaderboard(frame: pd.DataFrame, overall: str = "", columns: Sequence[str] = ()) -> str:
    """Return the whole leaderboard as Markdown, made from the table of runs; overall: the section about all tables."""
    head = _HEAD.format(metric=metric_of(frame).name)
    return "\n".join([head, *([overall, ""] if overall else []), tables(frame, columns)]) + "\n"


def tables(frame: pd.DataFrame, columns: Sequence[str] = ()) -> str:
    """Return the leaderboard's tables without its introduction. columns: names to show, else what is usual."""
    if frame.empty:
        return f"No runs yet. Start with `{FIRST_RUN}`."
    parts = []
    for title, group in groups_of(frame):
        parts += [
            f"## {title}",
            "",
            table(group, columns),
            "",
            *below(group),
            "",
        ]
    return "\n".join(parts).rstrip()


def below(group: pd.DataFrame) -> list[str]:
    """Return the lines under a table: what its ranks can tell, leaks, classes that were trained on, how it was made."""
    return [*_ranks(group), *_leaks(group), *_seen_classes(group), made(group)]


def groups_of(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield every table's title and its runs: one data set, one protocol, one revision of the data."""
    if frame.empty:
        return
    for (name, protocol, revision), group in frame.groupby(["dataset", "protocol", "dataset_revision"], sort=True):
        alike = frame[(frame["dataset"] == name) & (frame["protocol"] == protocol)]
        several = alike["dataset_revision"].nunique() > 1
        apart = data_choices(group) + ([f"data {str(revision)[:8]}"] if several else [])
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


def _ranks(group: pd.DataFrame) -> list[str]:
    """Return the footnote about what the ranks of a table can tell, or nothing."""
    return [
        line for text in sorted({text for text in group["rank_note"] if text}) for line in (f"**Ranks**: {text}.", "")
    ]


def _leaks(group: pd.DataFrame) -> list[str]:
    """Return the footnote of a table whose data leaks, or nothing."""
    told = sorted({"; ".join(texts) for texts in group["leaks"] if texts})
    return [f"**Leak**: {_list(told)}. `--drop-leaks` leaves them out of the training.", ""] if told else []


def _seen_classes(group: pd.DataFrame) -> list[str]:
    """Return the footnote of a table with a classifier's features and classes that were all trained on, or nothing."""
    done = group[group["status"] == "done"]
    classifiers = sorted(set(done.loc[done["baseline"].eq(Baseline.CLASSIFIER), "method"]))
    if not classifiers or not done["seen_classes"].eq(True).all():
        return []
    named = " and ".join(f"`{name}`" for name in classifiers)
    return [
        "**Seen classes**: every class asked for was trained on, so retrieval here is classification in disguise and "
        f"{named}, a plain classifier's features, is the row to beat; protocol `{unseen.__name__}` asks for new "
        "classes.",
        "",
    ]


def table(group: pd.DataFrame, columns: Sequence[str] = ()) -> str:
    """Return one table: finished methods, the best first, with ranks, what all rows share, and the failed runs."""
    done = group[group["status"] == "done"]
    shown = shown_columns(done, columns)
    labels = row_labels(done)
    ranked = ranked_rows(group)
    below = shared_notes(runs for _, runs in ranked)
    rows: list[list[str]] = []
    for kind, runs in ranked:
        cells = [cell(runs, column) for column in shown]
        rows.append([str(int(runs["rank"].iloc[0])), labels[kind], *cells, str(len(runs)), notes(runs, below)])
    heads = ["#", "method", *(titled(column) for column in shown), "seeds", "notes"]
    sides = ["right", "left", *["right"] * len(shown), "right", "left"]
    text = tabulate(rows, heads, tablefmt="pipe", disable_numparse=True, colalign=sides) if rows else ""
    lines = [f"- {line}" for line in failures(group)]
    every = [f"**Every row**: {'; '.join(below)}."] if below else []
    return "\n".join([text, *(["", *lines] if lines else []), *(["", *every] if every else [])]).strip()


def titled(column: Metric) -> str:
    """Return what stands over a column: its heading and which way is better."""
    return f"{column.heading} {column.arrow}".strip()


def cell(runs: pd.DataFrame, column: Metric) -> str:
    """Return a row's value of a column as written: the mean over seeds, with half its interval where it has one."""
    values = runs[column.name].dropna() if column.name in runs else pd.Series(dtype=float)
    if values.empty:
        return _EMPTY
    text = _number(float(values.mean()), column.digits)
    if not column.interval and column.name != metric_of(runs).name:
        return text
    spread = f"{_number(float(values.std(ddof=1)), column.digits)} sd" if len(values) > 1 else ""
    ends = interval_of(runs, f"{column.name}_seeds_ci95")
    if ends is None:  # no per-query values: the run's own interval, or the seeds' spread alone
        ends = None if spread else interval_of(runs, f"{column.name}_ci95")
    if ends is None:
        return f"{text} ± {spread}" if spread else text
    half = f"{text} ± {_number((ends[1] - ends[0]) / 2, column.digits)}"
    return f"{half} ({spread})" if spread else half


def _number(value: float, digits: int) -> str:
    return f"{value:,.{digits}f}"


def row_labels(done: pd.DataFrame) -> dict[tuple[Any, Any], str]:
    """Return a row's name: the method, and what sets it apart from the method's other rows."""
    return {
        (method, key): f"{method} ({', '.join(f'{name}={value}' for name, value in apart.items())})"
        if apart
        else method
        for (method, key), apart in varied_choices(done).items()
    }


def made(group: pd.DataFrame) -> str:
    """Return the line that says how a table was made."""
    done = group[group["status"] == "done"]
    runs = done if len(done) else group
    commits = sorted(
        {f"{str(c)[:10]}{'+' if d else ''}" for c, d in zip(runs["commit"], runs["dirty"], strict=True) if c}
    )
    machines = sorted({f"{cpu}, {many(n, 'thread')}" for cpu, n in zip(runs["cpu"], runs["threads"], strict=True)})
    data = group["dataset_revision"].iloc[0][:12]
    return f"Made {days(runs['date'])} on {_list(machines)}; commit {_list(commits) or 'unknown'}; data {data}."


def _list(items: Sequence[str]) -> str:
    return " and ".join(items)


_HEAD = """# Leaderboard

Made by `simbench leaderboard` from the run folders. ↑ more is better, ↓ less is better. `±` is half the 95 % bootstrap
interval over queries (by class where there are ten or more) and, with several seeds, over seeds; the seeds' standard
deviation (sd) stands behind it. Rows stand in the order of {metric}; those not significantly different from the best of
their table share its rank 1, the others have their place ([statistics](../../docs/design/statistics.md)). Every number
is defined in [metrics](../../docs/reference/metrics.md); a `+` behind a commit marks uncommitted changes. Protocols:
`holdout` one fifth of the test images ask, the rest answer; `loo` every test image asks all the others; `database` test
images ask the training images; `unseen` test images of classes that were not trained on; `given` as the data set says.
A leak under a table counts images to test on that were seen in training ([audit](../../docs/design/audit.md)). Latency
is one image (embed) or one query (search), median and (embed) 95th percentile, on the machine named below each table;
FLOPs are twice the multiply-adds of one image ([latency](../../docs/guides/latency.md)).
"""
