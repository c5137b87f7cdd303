"""A table's cells: what is written, what it is sorted by, and where its error bar lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.contract import UsageError
from bench.evaluation.catalogue import describe
from bench.report.notes import notes
from bench.report.page.groups import RANKED_BY, Row, Table


@dataclass(frozen=True)
class Column:
    """One column: its heading, the run table's column behind it, its better direction, digits, and what it means."""

    heading: str
    source: str
    better: str = ""
    digits: int = 3
    meaning: str = ""
    bar: bool = False

    @property
    def title(self) -> str:
        return self.meaning or _definition(self.source)


COLUMNS = (
    Column("map", "map", "↑", bar=True),
    Column("map@10", "map@10", "↑", bar=True),
    Column("hit@1", "hit@1", "↑", bar=True),
    Column("precision@10", "precision@10", "↑"),
    Column("mean rank norm", "mean_rank_norm", "↓"),
    Column("pair AUC", "pair_auc", "↑"),
    Column("decode cosine", "decode_cosine", "↑"),
    Column("shuffled", "decode_cosine_shuffled"),
    Column("SSIM", "ssim", "↑"),
    Column("embed ms", "embed_1_median_ms", "↓", 2, "milliseconds to embed one image, median"),
    Column("images/s", "embed_64_per_second", "↑", 0, "images embedded a second, 64 at a time"),
    Column("search ms", "search_median_ms", "↓", 2, "milliseconds to search the gallery for one query, median"),
    Column("bytes", "bytes_per_vector", "↓", 0, "bytes that one vector takes"),
    Column("parameters", "n_parameters", "↓", 0, "learnt numbers that an embedding takes"),
    Column("fit s", "fit_seconds", "↓", 0, "seconds of training"),
)


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
    seeds: int
    spread: str
    notes: str


def board(table: Table) -> tuple[list[Column], list[Line]]:
    """Return the columns that any row has a value in, and the lines in the order of the table's rows."""
    columns = [column for column in COLUMNS if any(row.mean(column.source) is not None for row in table.rows)]
    made = [_cells(table.rows, column) for column in columns]
    below = table.every_row
    lines = [
        Line(row, tuple(cells[at] for cells in made), len(row.records), _spread(row), notes(row.frame, below))
        for at, row in enumerate(table.rows)
    ]
    return columns, lines


def _cells(rows: Sequence[Row], column: Column) -> list[Cell]:
    means = [row.mean(column.source) for row in rows]
    known = [mean for mean in means if mean is not None]
    best = {"↑": max, "↓": min}.get(column.better)
    winner = best(known) if best and len(known) > 1 else None
    ends = [row.interval(column.source) if column.bar else None for row in rows]
    every = [end for both in ends if both for end in both] + (known if column.bar else [])
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
    values = row.frame[RANKED_BY].dropna()
    return f"± {number(float(values.std(ddof=1)), 3)} sd" if len(values) > 1 else ""


def _definition(metric: str) -> str:
    try:
        return describe(metric).definition
    except UsageError:
        return ""
