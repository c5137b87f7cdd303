"""A table of images: a CSV file with path, label, split and, where the data names them, queries and gallery.

The columns are those of open-metric-learning, boxes too; a column that nothing reads is told. A Parquet file with the
images in it is read by `bench.data.formats.parquet`, a folder with JSON manifests by `bench.data.layouts.json_layout`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.contract import DataError, UsageError
from bench.data.decoding.image_source import Box, Crop, Source, on_disk
from bench.data.formats.csv_table import read_csv
from bench.data.formats.parquet import read_parquet
from bench.data.layouts.answer_columns import (
    ANSWERS,
    Asked,
    check_answers,
    group_of,
    lists_of,
    refuse_lists,
    relevance_of,
)
from bench.data.layouts.folder import cut
from bench.data.layouts.json_layout import TRAIN_INFO, list_json_layout
from bench.data.layouts.listing import Listing, Part, with_test
from bench.data.layouts.split_folders import SPLIT_NAMES
from bench.data.layouts.uned_layout import is_uned, list_uned
from bench.naming import did_you_mean, first_few, id_of, readable, slug, tidied, why_no_name

PARQUET = (".parquet", ".pq")
FLAGS = ("is_query", "is_gallery")
BOX = ("x_1", "y_1", "x_2", "y_2")  # left, top, right, bottom: of the picture's part that the row is about
SEQUENCE = "sequence"  # pictures of one are no answers to each other
OPTIONAL = (*FLAGS, *BOX, SEQUENCE, *ANSWERS)
TRUE = frozenset(("1", "1.0", "true", "t", "yes", "y"))
GAPS = frozenset(("", "nan", "none", "null"))  # as pandas writes them
FALSE = GAPS.union(("0", "0.0", "false", "f", "no", "n"))


@dataclass(frozen=True)
class Row:
    """One line of a manifest. name: its path as it is written; lists: its cells that name other rows."""

    line: int
    path: Source
    id: str
    label: str
    split: str
    is_query: bool
    is_gallery: bool
    sequence: str = ""
    group: str = ""
    name: str = ""
    lists: Mapping[str, str] = field(default_factory=dict)

    @property
    def asked(self) -> Asked:
        """The row as one that may ask and be asked for."""
        return Asked(self.line, self.id, self.name, self.lists)


@dataclass(frozen=True)
class Reading:
    """How a table is to be read.

    label_column: the column that holds the labels; test_fraction, split_seed: of the cut of a Parquet file without a
    split column.
    """

    label_column: str = "label"
    test_fraction: float = 0.3
    split_seed: int = 0


def list_manifest(source: Path, cache: Path, reading: Reading | None = None) -> Listing:
    """List the images of a CSV or Parquet table, or of a folder (or its JSON file) in the layout with JSON manifests.

    cache: where the images of a Parquet file are unpacked.
    """
    reading = reading or Reading()
    if source.name == TRAIN_INFO:
        source = source.parent
    if source.is_dir():
        if reading.label_column != "label":
            raise UsageError(f"{source}: label_column is for CSV and Parquet; JSON manifests have no columns")
        return list_uned(source) if is_uned(source) else list_json_layout(source)
    if not source.is_file():
        raise DataError(f"{source}: no such file")
    name = slug(source.resolve().parent.name, source.stem)
    if source.suffix.lower() in PARQUET:
        rows, unread, is_cut = _table_rows(source, cache, reading)
        if not is_cut:
            whole = _part(rows, grouped=_grouped(rows))
            parts, by_class = cut(whole, reading.test_fraction, reading.split_seed)
            _refuse_sequences(source, rows, rows)
            refuse_lists(source, (row.asked for row in rows), queries=False)
            return Listing(name, source, parts, warnings=_unread(unread), by_class=by_class)
    else:
        rows, unread = _csv_rows(source, reading.label_column)
        _check_files(source, rows)
    return Listing(name, source, with_test(_parts(source, rows), source), warnings=_unread(unread))


def _table_rows(source: Path, cache: Path, reading: Reading) -> tuple[list[Row], list[str], bool]:
    """Return the rows of a Parquet file, the columns that nothing reads, and whether the rows say their part."""
    table = read_parquet(source, cache, reading.label_column, others=OPTIONAL)
    _check_columns(source, table.cells, reading.label_column)
    named = None not in table.paths and len(set(table.paths)) == len(table.paths)
    rows = []
    for number, (image, path) in enumerate(zip(table.images, table.paths, strict=True)):
        values = {column: cells[number] for column, cells in table.cells.items()}
        cell = {column: "" if value is None else tidied(str(value)) for column, value in values.items()}
        one = path if named and path else f"{number + 1:07}"
        for column, text in {**cell, "path": one}.items():
            if text and (problem := why_no_name(text)):
                raise _wrong(source, number + 1, column, problem)
        asked = any(_truth(source, number + 1, column, cell.get(column, "")) for column in FLAGS)
        cell.setdefault("split", "test" if asked else "train")
        rows.append(_row(source, number + 1, cell, reading.label_column, path=image, one=one))
    return rows, table.unread, "split" in table.cells or any(row.is_query or row.is_gallery for row in rows)


def _unread(columns: Iterable[str]) -> tuple[str, ...]:
    """Return the warning that names columns which nothing reads, or none."""
    names = [column or "the one without a name" for column in columns]
    return (f"columns that nothing reads: {first_few(names, 10)}",) if names else ()


def _parts(source: Path, rows: list[Row]) -> dict[str, Part]:
    """Divide the rows: a row that is query or gallery, train apart, is for testing and never for validation."""
    flagged = any(row.is_query or row.is_gallery for row in rows)
    test = [row for row in rows if row.split == "test" or (row.split == "validation" and _is_flagged(row))]
    parts = {
        "train": [row for row in rows if row.split == "train"],
        "validation": [row for row in rows if row.split == "validation" and not _is_flagged(row)],
        "test": list({row.id: row for row in test}.values()) if flagged else test,  # two lines may flag one image
    }
    if flagged:
        parts |= {"query": [row for row in rows if row.is_query], "gallery": [row for row in rows if row.is_gallery]}
        for name in ("query", "gallery"):
            if not parts[name]:
                raise DataError(f"{source}: no row has is_{name} set, though others are queries or gallery images")
    asked, searched = (parts["query"], parts["gallery"]) if flagged else (parts["test"], parts["test"])
    _refuse_sequences(source, asked, searched)
    no_queries = [row.asked for row in rows if not row.is_query]
    refuse_lists(source, no_queries, queries=flagged)
    grouped = _grouped(rows)
    made = {name: _part(chosen, grouped=grouped) for name, chosen in parts.items() if chosen or name == "train"}
    if flagged:
        lists = relevance_of(source, [row.asked for row in asked], [row.asked for row in searched])
        made["query"] = replace(made["query"], relevance=lists)
        if lists is not None:
            made.pop("test", None)  # a protocol that cuts it anew would pass the lists over
    return made


def _grouped(rows: Iterable[Row]) -> bool:
    return any(row.group for row in rows)


def _is_flagged(row: Row) -> bool:
    return row.is_query or row.is_gallery


def _part(rows: Iterable[Row], *, grouped: bool = False) -> Part:
    chosen = list(rows)
    part = Part.of((row.path, row.label, row.id) for row in chosen)
    return replace(part, groups=tuple(row.group for row in chosen)) if grouped else part


def _refuse_sequences(source: Path, asked: Iterable[Row], searched: Iterable[Row]) -> None:
    """Refuse queries that would find other pictures of their own sequence: easy answers, which count for nothing."""
    members: dict[str, set[str]] = {}
    for row in searched:
        members.setdefault(row.sequence, set()).add(row.id)
    easy = [row for row in asked if row.sequence and members.get(row.sequence, set()) - {row.id}]
    if easy:
        raise DataError(
            f"{source}: line {easy[0].line}, column {SEQUENCE}: {len(easy):,} images asked have others of their own "
            f"{SEQUENCE} to find, which are no answers and cannot be left out here; keep one image of each {SEQUENCE} "
            "to test on, or rename the column to count them as answers"
        )


def _csv_rows(source: Path, label_column: str) -> tuple[list[Row], list[str]]:
    """Return the rows of a CSV file, and the columns that nothing reads."""
    table = read_csv(source)
    needed = ("path", label_column, "split")
    for column in needed:
        if column not in table.header:
            raise DataError(
                f"{source}: line 1: no column {column!r}{did_you_mean(column, table.header)} "
                f"(needed: {', '.join(needed)}; found: {', '.join(table.header) or 'nothing'}){table.separator_hint}"
            )
    _check_columns(source, table.header, label_column)
    labels: dict[str, str] = {}
    rows, folders = [], dict[str, dict[str, str]]()
    for line, cell in table.rows:
        if not cell["path"]:
            raise _wrong(source, line, "path", "empty")
        path = on_disk(str(source.parent / os.path.expanduser(cell["path"])), folders)
        row = _row(source, line, cell, label_column, path=path, one=id_of(path, source.parent))
        if labels.setdefault(row.id, row.label) != row.label:
            raise _wrong(source, line, label_column, f"{row.id} was {labels[row.id]!r} before")
        rows.append(row)
    return rows, [column for column in table.header if column not in (*needed, *OPTIONAL)]


def _check_columns(source: Path, columns: Iterable[str], label_column: str) -> None:
    """Refuse columns that only mean something together, where one is missing, and those that mean the same."""
    there = set(columns)
    check_answers(source, there, label_column)
    if len(there & set(FLAGS)) == 1:
        raise DataError(f"{source}: line 1: is_query and is_gallery go together; only one of the columns is there")
    if 0 < len(there & set(BOX)) < len(BOX):
        absent = ", ".join(column for column in BOX if column not in there)
        raise DataError(
            f"{source}: line 1: a box has the columns {', '.join(BOX)}; there is no {absent}: add or rename"
        )


def _row(source: Path, line: int, cell: dict[str, str], label_column: str, *, path: Source, one: str) -> Row:
    if not cell[label_column]:
        raise _wrong(source, line, label_column, "empty")
    name = cell.get("path", one)
    split = SPLIT_NAMES.get(cell["split"].lower())
    if split is None:
        raise _wrong(source, line, "split", f"{cell['split']!r} is not one of train, validation, test, query, gallery")
    flags = [_truth(source, line, column, cell.get(column, "")) for column in FLAGS]
    if split in ("query", "gallery"):
        flag = FLAGS[split == "gallery"]
        if cell.get(flag) and not flags[FLAGS.index(flag)]:
            raise _wrong(
                source, line, flag, f"{cell[flag]!r}, but its split is {cell['split']!r}; one of them is wrong"
            )
        flags[FLAGS.index(flag)], split = True, "test"
    if split == "train" and flags[0]:
        raise _wrong(source, line, "is_query", "a train image cannot be a query: it was learnt from")
    box = _box(source, line, cell)
    if box is not None and not isinstance(path, Crop):
        path, one = Crop(path, box), f"{one}#{','.join(map(str, box))}"
    sequence = cell.get(SEQUENCE, "")
    sequence = "" if sequence.lower() in GAPS else sequence
    known = {column: "" if text.lower() in GAPS else text for column, text in cell.items() if column != label_column}
    group, lists = group_of(known), lists_of(known)
    return Row(line, path, one, cell[label_column], split, flags[0], flags[1], sequence, group, name, lists)


def _box(source: Path, line: int, cell: dict[str, str]) -> Box | None:
    """Return a row's box, None where it has none. Raises DataError for one that is not whole or holds no pixel."""
    texts = [cell.get(column, "") for column in BOX]
    if all(text.lower() in GAPS for text in texts):
        return None
    sides = []
    for column, text in zip(BOX, texts, strict=True):
        if not re.fullmatch(r"[0-9]{1,6}(\.0*)?", text):
            raise _wrong(source, line, column, f"{text!r} is no whole number of pixels from the upper left corner")
        sides.append(int(text.partition(".")[0]))
    left, top, right, bottom = sides
    if left >= right or top >= bottom:
        raise _wrong(source, line, "x_1", f"the box {left},{top},{right},{bottom} (x_1,y_1,x_2,y_2) holds no pixel")
    return left, top, right, bottom


def _truth(source: Path, line: int, column: str, text: str) -> bool:
    if text.lower() in TRUE:
        return True
    if text.lower() in FALSE:
        return False
    raise _wrong(source, line, column, f"{text!r} is neither true nor false")


def _check_files(source: Path, rows: list[Row]) -> None:
    missing = [row for row in rows if not os.path.lexists(_file(row))]
    if missing:
        first, *others = missing
        more = f" (and {len(others):,} more: line {first_few([str(row.line) for row in others])})" if others else ""
        raise _wrong(source, first.line, "path", f"no such file: {readable(_file(first))[:300]}{_slashes(first)}{more}")


def _file(row: Row) -> str:
    whole = row.path.whole if isinstance(row.path, Crop) else row.path
    return whole if isinstance(whole, str) else whole.file


def _slashes(row: Row) -> str:
    """Say so where a path that does not exist is written as Windows does."""
    return "; write / for the \\ in it" if "\\" in _file(row) and os.sep == "/" else ""


def _wrong(source: Path, line: int, column: str, what: str) -> DataError:
    return DataError(f"{source}: line {line}, column {column}: {what}")
