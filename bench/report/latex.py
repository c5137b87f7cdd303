"""The leaderboard as LaTeX: a booktabs table for each data set, protocol and revision, and the overall one."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from bench.evaluation.metrics.metric import Metric
from bench.evaluation.statistics.jackknife import OTHER_CLASSES
from bench.report.aggregate.overall import Overall
from bench.report.tables.footnotes import busy, made, queries, ranks
from bench.report.tables.frame import counted, draws_of, given, metric_of, shown_columns, values_of_row
from bench.report.tables.leaderboard import cell, groups_of, ranked_rows, titled
from bench.report.tables.wording import failures, row_labels

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "±": r"$\pm$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "·": r"$\cdot$",
    "²": r"$^2$",
}
_HEAD = r"""% Made by `simbench leaderboard --latex` from the run folders.
% In the preamble: \usepackage[T1]{fontenc} \usepackage{booktabs} \usepackage{graphicx}
"""


def latex(frame: pd.DataFrame, overall: Overall, columns: Sequence[str] = ()) -> str:
    """Return all tables as LaTeX to be included in a document.

    The best of each column is bold; of the one that ranks the rows, all that share rank 1.

    frame: the table of runs; columns: names to show, else the few that always are.
    """
    parts = [_table(title, group, number, columns) for number, (title, group) in enumerate(groups_of(frame), start=1)]
    if overall.comparable:
        parts.insert(0, _overall(overall))
    return _HEAD + "\n" + "\n".join(parts)


def escape(text: str) -> str:
    """Return a text with every character that LaTeX would read as a command written out."""
    return "".join(_ESCAPES.get(character, character) for character in text)


def _table(title: str, group: pd.DataFrame, number: int, columns: Sequence[str]) -> str:
    done = group[group["status"] == "done"]
    shown = shown_columns(done, columns, narrow=True)
    labels = row_labels(done)
    ranked = ranked_rows(group)
    best = {column.name: _best_rows([runs for _, runs in ranked], column) for column in shown}
    rows = []
    for at, (kind, runs) in enumerate(ranked):
        cells = [_value(cell(runs, column), bold=at in best[column.name]) for column in shown]
        rank = str(int(runs["rank"].iloc[0]))
        rows.append([rank, escape(labels[kind]), *cells, escape(given(runs)), escape(counted(runs))])
    heads = ["#", "method", *(titled(column) for column in shown), "input", "seeds"]
    below = [
        *(escape(f"{text}.") for text in (queries(group), *ranks(group), busy(group)) if text),
        escape(made(group)),
        *(escape(line.replace("`", "")) + "." for line in failures(group)),
    ]
    return _environment(
        title,
        heads,
        rows,
        "rl" + "r" * (len(shown) + 2),
        below=below,
        label=f"simbench-{number}",
        legend=_legend(shown, group),
    )


def _best_rows(rows: Sequence[pd.DataFrame], column: Metric) -> set[int]:
    """Return which rows have the best value of a column as it is written, by their places; none without a contest.

    Of the metric that ranks the rows: those that share rank 1, as no other column was tested.
    """
    if column.better is None or len(rows) < 2:
        return set()
    if column.name == metric_of(rows[0]).name:
        return {at for at, runs in enumerate(rows) if runs["rank"].iloc[0] == 1}
    means = [values_of_row(runs, column.name).mean() for runs in rows]
    known = {at: round(column.sign * mean, column.digits) for at, mean in enumerate(means) if not pd.isna(mean)}
    return {at for at, mean in known.items() if mean == max(known.values())}


def _value(text: str, *, bold: bool) -> str:
    """Return a cell's text escaped, with its value in bold, or not; what follows the sign of the interval stays."""
    value, *rest = escape(text).split(" ", 1)
    return " ".join([rf"\textbf{{{value}}}" if bold else value, *rest])


def _legend(shown: Sequence[Metric], group: pd.DataFrame) -> str:
    """Return what bold and the signs of intervals mean, for a caption: text, not escaped."""
    ranked = metric_of(group)
    said = ["Bold: the best of its column"]
    if any(column.name == ranked.name for column in shown):
        said.append(f"; in {ranked.heading}, all that are not significantly different from the best")
    half = (
        "over other classes" if group["interval_of"].eq(OTHER_CLASSES).any() else "over other images of these classes"
    )
    if draws_of(group) > 1:
        half = "of the mean over draws of the classes to test on"
    seeds = "" if draws_of(group) > 1 else " and other seeds"
    return f"{''.join(said)}. ±: half the 95 % interval {half}{seeds}; sd: the standard deviation over seeds"


def _overall(found: Overall) -> str:
    heads = ["method", "mean rank ↓", "harmonic ↑", "worst ↑", *(f"{name} ↑" for name in found.datasets)]
    rows = [
        [
            escape(one.method),
            f"{one.rank:.2f}",
            *(f"{score:.3f}" for score in (one.aggregate, one.worst, *one.scores)),
        ]
        for one in found.ranked
    ]
    below = [f"Nemenyi critical difference of mean ranks at 5\\,\\%: {found.critical:.2f}."]
    return _environment(
        "All data sets", heads, rows, "l" + "r" * (len(heads) - 1), below=below, label="simbench-overall"
    )


def _environment(
    title: str,
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    sides: str,
    *,
    below: Sequence[str],
    label: str,
    legend: str = "",
) -> str:
    """Return one table environment, as wide as the text at most. rows and below: escaped; legend: behind the title."""
    caption = rf"\caption[{{{escape(title)}}}]{{{escape(f'{title}. {legend}.')}}}" if legend else ""
    caption = caption or rf"\caption{{{escape(title)}}}"
    lines = [r"\begin{table}", r"\centering", caption, rf"\label{{tab:{label}}}"]
    if rows:
        body = pd.DataFrame(rows).to_latex(
            header=[escape(head) for head in heads], index=False, escape=False, column_format=sides
        )
        fitted = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
        lines += [fitted, f"{body.rstrip()}}}"]
    lines += [rf"\par\smallskip\footnotesize {' '.join(below)}", r"\end{table}", ""]
    return "\n".join(lines)
