"""A table's cells: what is written, what it is sorted by, and where its error bar lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from bench.evaluation.metrics.metric import Metric
from bench.report.tables.footnotes import notes
from bench.report.tables.frame import counted, given, shown_columns, values_of_row
from bench.report.tables.groups import Row, Table
from bench.report.tables.pooled_latency import POOLED
from bench.report.tables.wording import many


@dataclass(frozen=True)
class Bar:
    """An error bar on a column's own scale: low end, value and high end, each from 0 to 100."""

    low: float
    value: float
    high: float


@dataclass(frozen=True)
class Cell:
    """One number. text: as written; sort: the number itself; interval: its 95 % interval as written, with its bar."""

    text: str
    sort: float | None
    best: bool = False
    interval: str = ""
    bar: Bar | None = None


@dataclass(frozen=True)
class Line:
    """A row of the table: cells in the order of the columns, and what must be known of the row."""

    row: Row
    cells: tuple[Cell, ...]
    given: str
    seeds: str
    spread: str
    notes: str


def board(table: Table) -> tuple[list[Metric], list[Line]]:
    """Return the columns that any row has a value in, and the lines in the order of the table's rows."""
    columns = shown_columns(pd.concat([row.frame for row in table.rows])) if table.rows else []
    made = [_cells(table.rows, column) for column in columns]
    below = table.every_row
    lines = [
        Line(
            row,
            tuple(cells[at] for cells in made),
            given(row.frame),
            counted(row.frame),
            _spread(row),
            notes(row.frame, below),
        )
        for at, row in enumerate(table.rows)
    ]
    return columns, lines


def _cells(rows: Sequence[Row], column: Metric) -> list[Cell]:
    means = [row.mean(column.name) for row in rows]
    bar = column.interval or any(column.name == row.metric.name for row in rows)
    known = [mean for mean in means if mean is not None]
    winner = max(known, key=lambda mean: column.sign * mean) if column.better and len(known) > 1 else None
    ends = [row.interval(column.name) if bar else None for row in rows]
    every = [end for both in ends if both for end in both] + (known if bar else [])
    low, high = (min(every), max(every)) if every else (0.0, 1.0)
    cells = []
    for mean, both in zip(means, ends, strict=True):
        if mean is None:
            cells.append(Cell("-", None))
            continue
        text = number(mean, column.digits)
        told = winner is not None and text == number(winner, column.digits)
        if both is None:
            cells.append(Cell(text, mean, told))
            continue
        places = [100 * (end - low) / (high - low) if high > low else 50.0 for end in (both[0], mean, both[1])]
        span = f"{number(both[0], column.digits)} to {number(both[1], column.digits)}"
        cells.append(Cell(text, mean, told, span, Bar(*places)))
    return cells


def number(value: float, digits: int) -> str:
    """Return a number as tables write it: thousands apart, no zero before the point of a share."""
    text = f"{value:,.{digits}f}"
    return text.replace("0.", ".", 1) if digits >= 3 and text.startswith(("0.", "-0.")) else text


def _spread(row: Row) -> str:
    values = values_of_row(row.frame, row.metric.name)
    return f"± {number(float(pd.Series(values).std()), row.metric.digits)} sd" if len(values) > 1 else ""


@dataclass(frozen=True)
class Finding:
    """A table's verdict. best: the row with the best score; tied: names that cannot be told apart from it.

    value, interval: the best's, of what the table is ranked by.
    """

    table: Table
    best: Row | None
    value: str
    interval: str
    tied: tuple[str, ...]
    sentences: tuple[str, ...]


def finding_of(table: Table) -> Finding:
    """Return what a table says."""
    if not table.rows:
        return Finding(table, None, "", "", (), (f"All {len(table.failed)} runs failed.",))
    best, digits = max(table.rows, key=lambda row: row.merit), table.metric.digits
    ends = best.interval(table.metric.name)
    interval = f"{number(ends[0], digits)} to {number(ends[1], digits)}" if ends else ""
    tied = tuple(row.name for row in table.tied if row is not best)
    return Finding(table, best, number(best.score, digits), interval, tied, tuple(_sentences(table, best)))


def _sentences(table: Table, best: Row) -> list[str]:
    said = []
    times = {row.name: ms for row in table.tied if (ms := row.mean(POOLED[0])) is not None}
    if len(times) > 1:
        fastest = min(times.values())
        quick = [name for name, ms in times.items() if ms == fastest]  # one network, one time
        alike = f"{', '.join(quick)} embed{'s' if len(quick) == 1 else ''} fastest"
        said += [f"Of these, {alike} ({number(fastest, 2)} ms)."] if len(quick) < len(times) else []
    plain = [row for row in table.rows if not row.trained and row.rank != 1]
    if plain and best.trained:
        floor = max(plain, key=lambda row: row.merit)
        behind = number(best.merit - floor.merit, table.metric.digits)
        said.append(
            f"It is better by {behind} than {floor.name}, the best that trains nothing "
            f"({number(floor.score, table.metric.digits)})."
        )
    single = [row for row in table.rows if row.trained and len(row.records) == 1]
    if single:
        said.append(f"{many(len(single), 'row')} of one seed only: other seeds may differ.")
    leaks = sorted({texts[0] for texts in best.frame["leaks"] if texts})  # all of it is under the table
    said += [f"{text[0].upper()}{text[1:]}." for text in leaks]
    flagged = [row.name for row in table.rows if any(row.frame["flags"])]
    if flagged:
        said.append(f"Flagged: {', '.join(flagged)}.")
    if table.failed:
        said.append(f"{many(len(table.failed), 'run')} failed.")
    return said


def overview(tables: Sequence[Table]) -> str:
    """Return what the page is made from, in one sentence."""
    done = sum(len(row.records) for table in tables for row in table.rows)
    failed = sum(len(table.failed) for table in tables)
    sets = len({table.dataset for table in tables})
    lost = f", and {many(failed, 'failed run')}" if failed else ""
    return f"{many(done, 'finished run')}{lost} on {many(sets, 'data set')}, in {many(len(tables), 'table')}"
