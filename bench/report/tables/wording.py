"""How rows, values and counts are written in every table and text of the results."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from tabulate import tabulate

from bench.evaluation.ranking.arrays import Floats

FIRST_RUN = "simbench run -m pixels -m random -m arcface -d digits"  # what to start with where there are no runs


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]], sides: str = "l") -> str:
    """Return rows of cells as a Markdown table, nothing where there are none; text ends no cell and no row.

    sides: where each column's text stands, l or r as in LaTeX; the columns behind the last letter are like it.
    """
    aligned = ["left" if side == "l" else "right" for side in sides.ljust(len(heads), sides[-1])]
    heads, rows = [in_cell(head) for head in heads], [[in_cell(cell) for cell in row] for row in rows]
    return tabulate(rows, heads, tablefmt="pipe", disable_numparse=True, colalign=aligned) if rows else ""


def in_cell(text: str) -> str:
    """Return a text as a Markdown cell: on one line, bars and what would open an HTML tag as themselves."""
    return re.sub(r"<(?=[a-zA-Z/!?])", "&lt;", " ".join(text.split("\n")).replace("\r", "").replace("|", "\\|"))


def in_spreadsheet(value: Any) -> Any:
    """Return a value for a CSV file: a text that spreadsheets take for a formula gets an apostrophe before."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def plain(value: Any) -> str:
    """Return an option's value as a person would type it: 2, not 2.0."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def p_value(p: float) -> str:
    """Return a p value with its sign: never rounded to nought."""
    return f"p = {p:.3f}" if p >= 0.001 else "p < 0.001"


def difference_in_words(first: str, second: str, ahead: float, *, told: bool, digits: int = 3) -> str:
    """Return a difference as one says it: ``b is better than a by 0.190``, named the one with the better score first.

    ahead: how far the first is ahead, below 0 where it is behind; told: whether the two can be told apart.
    """
    one, other = (first, second) if ahead >= 0 else (second, first)
    words = "is better than" if told else "cannot be told from"
    return f"{one} {words} {other}{'' if told else ', ahead'} by {abs(ahead):.{digits}f}"


def many(count: int, noun: str, plural: str = "") -> str:
    """Return a count with its noun: 1 row, 2 rows, 1 query, 10,000 queries (plural given)."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def queries_in_words(scored: int, asked: int) -> str:
    """Return how many of the queries are in the scores, an alarm where fewer than half are."""
    told = f"{scored:,} of {many(asked, 'query', 'queries')} scored"
    if scored == asked:
        return told
    told += f": {asked - scored:,} have nothing to find in the gallery, and are left out of every mean"
    return f"ALARM: only {told}" if 2 * scored < asked else told


def unscored_queries(values: Floats) -> str:
    """Return the paragraph on queries that have nothing to find, nothing where all are scored.

    values: what each query scored, float64 ``(q,)``, NaN where it has nothing to find.
    """
    scored = int((~np.isnan(values)).sum())
    return "" if scored == len(values) else f"**Queries**: {queries_in_words(scored, len(values))}."


def days(dates: Iterable[object]) -> str:
    """Return the day of some dates as ISO text, or the first and the last of several."""
    when = sorted({str(date)[:10] for date in dates})
    return when[0] if len(when) == 1 else f"{when[0]} to {when[-1]}"


def varied_choices(runs: pd.DataFrame) -> dict[tuple[str, str], dict[str, str]]:
    """Return for each row what differs among the rows of its method; its code only where nothing else does."""
    found = {}
    for method, rows in runs.groupby("method"):
        described = {str(key): choices_of(same.iloc[0]) for key, same in rows.groupby("key")}
        chosen = {key: {name: value for name, value in one.items() if name != "code"} for key, one in described.items()}
        if len({frozenset(one.items()) for one in chosen.values()}) == len(chosen):
            described = chosen  # another engine or encoder is other code, which its name says already
        common = set.intersection(*(set(choices.items()) for choices in described.values()))
        for key, choices in described.items():
            found[str(method), key] = {name: value for name, value in choices.items() if (name, value) not in common}
    return found


def row_labels(runs: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Return each row's name, by method and key: the method, and what sets it apart from the method's other rows.

    What all trained methods have by default needs no word, nor the size of the input, which has a column, where the
    names are different without. What the fewest rows have comes first: a narrow table cuts names off.
    """
    apart = varied_choices(runs)
    for brief in map(_rarest_first, (_without_defaults(apart, runs), apart)):
        for left_out in ({"input", "size"}, {"input"}, set[str]()):
            named = {row: _named(row[0], choices, left_out) for row, choices in brief.items()}
            if len(set(named.values())) == len(named):
                return named
    return named


def _named(method: str, choices: Mapping[str, str], left_out: Collection[str]) -> str:
    words = ", ".join(f"{name}={value}" for name, value in choices.items() if name not in left_out)
    return f"{method} ({words})" if words else method


def _rarest_first(apart: Mapping[tuple[str, str], dict[str, str]]) -> dict[tuple[str, str], dict[str, str]]:
    rows = Counter((method, *choice) for (method, _), choices in apart.items() for choice in choices.items())
    return {
        (method, key): dict(sorted(choices.items(), key=lambda choice: rows[method, *choice]))
        for (method, key), choices in apart.items()
    }


def _without_defaults(
    apart: Mapping[tuple[str, str], dict[str, str]], runs: pd.DataFrame
) -> dict[tuple[str, str], dict[str, str]]:
    """Return what sets rows apart, less what a row has as all trained methods have it and another row has not."""
    if "deviations" not in runs:
        return dict(apart)
    rows = zip(runs["method"], runs["key"], runs["deviations"], strict=True)
    told = {(str(method), str(key)): texts for method, key, texts in rows}
    own = {row: {name for name in choices if f"{name} {choices[name]}" in told[row]} for row, choices in apart.items()}
    found = {}
    for (method, key), choices in apart.items():
        unlike = set[str]().union(*(names for (other, _), names in own.items() if other == method)) - own[method, key]
        found[method, key] = {name: value for name, value in choices.items() if name not in unlike}
    return found


def phrases(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return values by name as texts, each a name and its value."""
    return tuple(f"{name} {plain(value)}" for name, value in values.items())


def choices_of(run: pd.Series) -> dict[str, str]:
    """Return everything that was chosen of a run, as text by name: options, budget, device, engine, views and code."""
    budget = {name: value for name, value in json.loads(run["budget"]).items() if value is not None}
    embeds = {name: run[name] for name in ("device", "engine", "input", "mirror_test", "deterministic") if name in run}
    every = {**json.loads(run["options"]), **budget, **embeds, **_marks(run)}
    return {name: plain(value) for name, value in every.items()}


def _marks(run: pd.Series) -> dict[str, str]:
    """Return what marks a run's code and the files that its options name, by name."""
    marks: dict[str, str] = json.loads(run["sources"]) if isinstance(run.get("sources"), str) else {}
    return marks


def choices_in_words(data: Mapping[str, Any]) -> list[str]:
    """Return what was chosen of the data, a phrase each: part of a title."""
    told = []
    for name, value in sorted(data.items()):
        shown = ",".join(map(str, value)) if isinstance(value, list) else value
        told.append(name.replace("_", " ") + ("" if value is True else f" {shown}"))
    return told


def failures(group: pd.DataFrame) -> list[str]:
    """Return a line for each failed run: its method, its seed, why, and the options that vary."""
    told = []
    for _, run in group[group["status"] != "done"].iterrows():
        varied = failed_options(run, group)
        options = f" (with {', '.join(varied)})" if varied else ""
        told.append(f"`{run['method']}` seed {run['seed']}: failed: {first_line(run['reason'])}{options}")
    return told


def failed_options(run: pd.Series, group: pd.DataFrame) -> list[str]:
    """Return what sets a failed run apart, as ``name=value``.

    Its budget, what differs among its method's rows, and what most rows of other methods have otherwise: a method that
    only failed has no row of its own to differ from.
    """
    choices, own = choices_of(run), varied_choices(group[group["method"] == run["method"]])[run["method"], run["key"]]
    others = [
        choices_of(rows.iloc[0]) for _, rows in group[group["method"] != run["method"]].groupby(["method", "key"])
    ]
    budget = {name for name, value in json.loads(run["budget"]).items() if value is not None}
    told, marks = [], _marks(run)  # no two methods share their code
    for name, value in choices.items():
        usual = Counter(other[name] for other in others if name in other).most_common(1)
        if name in own or name in budget or (name not in marks and usual and usual[0][0] != value):
            told.append(f"{name}={value}")
    return told


def first_line(text: object) -> str:
    """Return the first line of a failure's reason."""
    return str(text).splitlines()[0] if str(text) else "no reason recorded"
