"""The leaderboard as LaTeX: a booktabs table for each data set, protocol and revision, and the overall one."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from bench.report.aggregate.overall import Overall
from bench.report.tables.footnotes import busy, made, queries, ranks
from bench.report.tables.frame import counted, given, shown_columns
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
    """Return all tables as LaTeX to be included in a document, rank 1 in bold.

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
    rows = []
    for kind, runs in ranked_rows(group):
        rank = int(runs["rank"].iloc[0])
        texts = [str(rank), labels[kind], *(cell(runs, column) for column in shown), given(runs), counted(runs)]
        rows.append([rf"\textbf{{{escape(text)}}}" if rank == 1 else escape(text) for text in texts])
    heads = ["#", "method", *(titled(column) for column in shown), "input", "seeds"]
    below = [
        *(escape(f"{text}.") for text in (queries(group), *ranks(group), busy(group)) if text),
        escape(made(group)),
        *(escape(line.replace("`", "")) + "." for line in failures(group)),
    ]
    return _environment(title, heads, rows, "rl" + "r" * (len(shown) + 2), below=below, label=f"simbench-{number}")


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
    title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], sides: str, *, below: Sequence[str], label: str
) -> str:
    """Return one table environment, as wide as the text at most. rows and below: escaped."""
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{escape(title)}}}", rf"\label{{tab:{label}}}"]
    if rows:
        body = pd.DataFrame(rows).to_latex(
            header=[escape(head) for head in heads], index=False, escape=False, column_format=sides
        )
        fitted = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
        lines += [fitted, f"{body.rstrip()}}}"]
    lines += [rf"\par\smallskip\footnotesize {' '.join(below)}", r"\end{table}", ""]
    return "\n".join(lines)
