"""The columns of a table that say who answers whom: camera or group, and of queries positives, gains and ignore."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.contract import DataError, Relevance
from bench.naming import did_you_mean

GROUP = ("group", "camera")  # a query does not see pictures of its label and its group
LISTS = ("positives", "ignore")  # names of gallery rows
GAINS = "gains"  # numbers, one for each of the row's positives
ANSWERS = (*GROUP, *LISTS, GAINS)


@dataclass(frozen=True)
class Asked:
    """A row as the columns see it. line: in the table; id, path: its names; cells: of ``LISTS`` and ``GAINS``."""

    line: int
    id: str
    path: str
    cells: Mapping[str, str]


def check_answers(source: Path, columns: Iterable[str], label_column: str) -> None:
    """Refuse columns that say one thing twice."""
    there = [one for one in GROUP if one in columns and one != label_column]
    if len(there) > 1:
        raise DataError(f"{source}: line 1: the columns {' and '.join(there)} mean the same; keep one, or rename it")
    if GAINS in columns and "positives" not in columns:
        raise DataError(f"{source}: line 1: gains without positives: they say what each of the positives is worth")
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
    return {one: cell[one] for one in (*LISTS, GAINS) if one in cell}


def relevance_of(source: Path, asked: Sequence[Asked], searched: Sequence[Asked]) -> Relevance | None:
    """Return what the queries list, None where there is no such column.

    A row of the gallery is named by its id or by its path as it is written; several are separated by semicolons, or by
    blanks where there is no semicolon; gains are written likewise, a number for each of the positives. Raises DataError
    that names the line of a name that no row has or several have, of a row that is both positive and ignored, and of
    gains that do not fit.
    """
    kinds = [one for one in LISTS if asked and one in asked[0].cells]
    if not kinds:
        return None
    rows: dict[str, set[str]] = {}
    for one in searched:
        for name in (one.id, one.path):
            rows.setdefault(name, set()).add(one.id)
    named = {kind: [list(_listed(source, one, kind, rows)) for one in asked] for kind in kinds}
    found = {kind: tuple(tuple(dict.fromkeys(ids)) for ids in lists) for kind, lists in named.items()}
    for one, positives, ignored in zip(asked, *(found.get(kind, ((),) * len(asked)) for kind in LISTS), strict=True):
        both = set(positives).intersection(ignored)
        if both:
            raise _wrong(source, one.line, "ignore", f"{min(both)!r} is among the row's positives too; it can be one")
    gains = None
    if GAINS in asked[0].cells:
        gains = tuple(tuple(_gains(source, *both)) for both in zip(asked, named["positives"], strict=True))
    return Relevance(found.get("positives"), found.get("ignore"), gains)


def refuse_lists(source: Path, rows: Iterable[Asked], *, queries: bool) -> None:
    """Refuse what rows that are no queries list, and columns of lists in a table without queries."""
    for one in rows:
        for kind, text in one.cells.items():
            if text:
                add = "" if queries else "; the table names none: add the columns is_query and is_gallery"
                raise _wrong(source, one.line, kind, f"only a query has {kind}{add}")


def _listed(source: Path, one: Asked, kind: str, rows: dict[str, set[str]]) -> Iterator[str]:
    """Yield the ids of what a query's cell names."""
    for name in _names(one.cells[kind], rows):
        known = rows.get(name)
        if known is None:
            likely = did_you_mean(name, rows)
            raise _wrong(source, one.line, kind, f"{name!r} is no id and no path of a gallery row{likely}")
        if len(known) > 1:
            raise _wrong(source, one.line, kind, f"{name!r} is the path of {len(known)} gallery rows; write one's id")
        yield from known


def _gains(source: Path, one: Asked, ids: Sequence[str]) -> list[float]:
    """Return the gain of each item that a query's cell names, once for one that is there twice."""
    cell = one.cells[GAINS]
    texts = cell.replace(";", " ").split()
    if len(texts) != len(ids):
        raise _wrong(source, one.line, GAINS, f"{len(texts)} numbers for {len(ids)} positives")
    found: dict[str, float] = {}
    for name, text in zip(ids, texts, strict=True):
        if not re.fullmatch(r"[0-9]+(\.[0-9]*)?|\.[0-9]+", text):
            raise _wrong(source, one.line, GAINS, f"{text!r} is no number of 0 or more, such as 2 or 0.5")
        if found.setdefault(name, float(text)) != float(text):
            raise _wrong(source, one.line, GAINS, f"{name!r} has two gains; give it one")
    return list(found.values())


def _names(cell: str, rows: dict[str, set[str]]) -> list[str]:
    if cell in rows:  # a path with blanks
        return [cell]
    return [name.strip() for name in cell.split(";") if name.strip()] if ";" in cell else cell.split()


def _wrong(source: Path, line: int, column: str, what: str) -> DataError:
    return DataError(f"{source}: line {line}, column {column}: {what}")
