"""The columns of a table that say who answers whom: camera or group, and of queries positives and ignore."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.contract import DataError, Relevance
from bench.naming import did_you_mean

GROUP = ("group", "camera")  # a query does not see pictures of its label and its group
LISTS = ("positives", "ignore")  # names of gallery rows
ANSWERS = (*GROUP, *LISTS)


@dataclass(frozen=True)
class Asked:
    """A row as the columns see it. line: in the table; id, path: its names; cells: of the columns ``LISTS``."""

    line: int
    id: str
    path: str
    cells: Mapping[str, str]


def check_answers(source: Path, columns: Iterable[str], label_column: str) -> None:
    """Refuse columns that say one thing twice."""
    there = [one for one in GROUP if one in columns and one != label_column]
    if len(there) > 1:
        raise DataError(f"{source}: line 1: the columns {' and '.join(there)} mean the same; keep one, or rename it")
    if there and "positives" in columns:
        raise DataError(
            f"{source}: line 1: {there[0]} goes with labels and positives take their place; list what is ignored in "
            "a column ignore, and drop one of them"
        )


def group_of(cell: Mapping[str, str]) -> str:
    """Return a row's group, nothing where it has none."""
    return next((cell[one] for one in GROUP if one in cell), "")


def lists_of(cell: Mapping[str, str]) -> dict[str, str]:
    """Return a row's cells that list others."""
    return {one: cell[one] for one in LISTS if one in cell}


def relevance_of(source: Path, asked: Sequence[Asked], searched: Sequence[Asked]) -> Relevance | None:
    """Return what the queries list, None where there is no such column.

    A row of the gallery is named by its id or by its path as it is written; several are separated by semicolons, or by
    blanks where there is no semicolon. Raises DataError that names the line of a name that no row has or several have,
    and of a row that is both positive and ignored.
    """
    kinds = [one for one in LISTS if asked and one in asked[0].cells]
    if not kinds:
        return None
    rows: dict[str, set[str]] = {}
    for one in searched:
        for name in (one.id, one.path):
            rows.setdefault(name, set()).add(one.id)
    found = {kind: tuple(tuple(_listed(source, one, kind, rows)) for one in asked) for kind in kinds}
    for one, positives, ignored in zip(asked, *(found.get(kind, ((),) * len(asked)) for kind in LISTS), strict=True):
        both = set(positives).intersection(ignored)
        if both:
            raise _wrong(source, one.line, "ignore", f"{min(both)!r} is among the row's positives too; it can be one")
    return Relevance(found.get("positives"), found.get("ignore"))


def refuse_lists(source: Path, rows: Iterable[Asked], *, queries: bool) -> None:
    """Refuse what rows that are no queries list, and columns of lists in a table without queries."""
    for one in rows:
        for kind, text in one.cells.items():
            if text:
                add = "" if queries else "; the table names none: add the columns is_query and is_gallery"
                raise _wrong(source, one.line, kind, f"only a query has {kind}{add}")


def _listed(source: Path, one: Asked, kind: str, rows: dict[str, set[str]]) -> Iterator[str]:
    """Yield the ids of what a query's cell names, each once."""
    seen = set()
    for name in _names(one.cells[kind], rows):
        known = rows.get(name)
        if known is None:
            likely = did_you_mean(name, rows)
            raise _wrong(source, one.line, kind, f"{name!r} is no id and no path of a gallery row{likely}")
        if len(known) > 1:
            raise _wrong(source, one.line, kind, f"{name!r} is the path of {len(known)} gallery rows; write one's id")
        (row,) = known
        if row not in seen:
            seen.add(row)
            yield row


def _names(cell: str, rows: dict[str, set[str]]) -> list[str]:
    if cell in rows:  # a path with blanks
        return [cell]
    return [name.strip() for name in cell.split(";") if name.strip()] if ";" in cell else cell.split()


def _wrong(source: Path, line: int, column: str, what: str) -> DataError:
    return DataError(f"{source}: line {line}, column {column}: {what}")
