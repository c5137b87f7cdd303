"""A table of images: a CSV file with path, label, split and, where the data names them, queries and gallery.

The columns are those of open-metric-learning. A Parquet file with the images in it is read by
`bench.data.formats.parquet`, a folder with JSON manifests by `bench.data.layouts.json_layout`.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.contract import DataError, UsageError
from bench.data.decoding.image_source import Source, name_of
from bench.data.formats.parquet import read_parquet
from bench.data.layouts.folder import cut
from bench.data.layouts.json_layout import TRAIN_INFO, list_json_layout
from bench.data.layouts.listing import Listing, Part, with_test
from bench.data.layouts.split_folders import SPLIT_NAMES
from bench.naming import did_you_mean, first_few, id_of, slug

PARQUET = (".parquet", ".pq")
FLAGS = ("is_query", "is_gallery")
TRUE = frozenset(("1", "1.0", "true", "t", "yes", "y"))
FALSE = frozenset(("", "0", "0.0", "false", "f", "no", "n", "nan", "none", "null"))  # the last as pandas writes gaps


@dataclass(frozen=True)
class Row:
    """One line of a manifest."""

    line: int
    path: Source
    id: str
    label: str
    split: str
    is_query: bool
    is_gallery: bool


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
        return list_json_layout(source)
    if not source.is_file():
        raise DataError(f"{source}: no such file")
    name = slug(source.resolve().parent.name, source.stem)
    if source.suffix.lower() in PARQUET:
        rows, is_cut = _table_rows(source, cache, reading)
        if not is_cut:
            return Listing(name, source, cut(_part(rows), reading.test_fraction, reading.split_seed))
    else:
        rows = list(_rows(source, reading.label_column))
        _check_files(source, rows)
    return Listing(name, source, with_test(_parts(source, rows), source))


def _table_rows(source: Path, cache: Path, reading: Reading) -> tuple[list[Row], bool]:
    """Return the rows of a Parquet file, and whether they say which part they are in."""
    table = read_parquet(source, cache, reading.label_column)
    _check_flags(source, table.cells)
    named = None not in table.paths and len(set(table.paths)) == len(table.paths)
    rows = []
    for number, (image, path) in enumerate(zip(table.images, table.paths, strict=True)):
        values = {column: cells[number] for column, cells in table.cells.items()}
        cell = {column: "" if value is None else str(value).strip() for column, value in values.items()}
        one = path if named and path else f"{number + 1:07}"
        asked = any(_truth(source, number + 1, column, cell.get(column, "")) for column in FLAGS)
        cell.setdefault("split", "test" if asked else "train")
        rows.append(_row(source, number + 1, cell, reading.label_column, path=image, one=one))
    return rows, "split" in table.cells or any(row.is_query or row.is_gallery for row in rows)


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
    return {name: _part(chosen) for name, chosen in parts.items() if chosen or name == "train"}


def _is_flagged(row: Row) -> bool:
    return row.is_query or row.is_gallery


def _part(rows: Iterable[Row]) -> Part:
    return Part.of((row.path, row.label, row.id) for row in rows)


def _rows(source: Path, label_column: str) -> Iterator[Row]:
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip() for name in next(reader, [])]
            _check_header(source, header, label_column)
            labels: dict[str, str] = {}
            for values in reader:
                if values:
                    row = _line(source, reader.line_num, header, values, label_column)
                    if labels.setdefault(row.id, row.label) != row.label:
                        raise _wrong(source, row.line, label_column, f"{row.id} was {labels[row.id]!r} before")
                    yield row
    except UnicodeDecodeError as error:
        raise DataError(f"{source}: not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from error
    except csv.Error as error:
        raise DataError(f"{source}: line {reader.line_num}: not valid CSV ({error})") from error
    except OSError as error:
        raise DataError(f"{source}: cannot be read ({error.strerror})") from error


def _check_header(source: Path, header: list[str], label_column: str) -> None:
    needed = ("path", label_column, "split")
    for column in needed:
        if column not in header:
            raise DataError(
                f"{source}: line 1: no column {column!r}{did_you_mean(column, header)} "
                f"(needed: {', '.join(needed)}; found: {', '.join(header) or 'nothing'})"
            )
    _check_flags(source, header)


def _check_flags(source: Path, columns: Iterable[str]) -> None:
    if len(set(columns) & set(FLAGS)) == 1:
        raise DataError(f"{source}: line 1: is_query and is_gallery go together; only one of the columns is there")


def _line(source: Path, line: int, header: list[str], values: list[str], label_column: str) -> Row:
    if len(values) != len(header):
        raise DataError(
            f"{source}: line {line}: {len(values)} values for {len(header)} columns; quote those with a comma"
        )
    cell = {name: value.strip() for name, value in zip(header, values, strict=True)}
    if not cell["path"]:
        raise _wrong(source, line, "path", "empty")
    path = str(source.parent / os.path.expanduser(cell["path"]))
    return _row(source, line, cell, label_column, path=path, one=id_of(path, source.parent))


def _row(source: Path, line: int, cell: dict[str, str], label_column: str, *, path: Source, one: str) -> Row:
    if not cell[label_column]:
        raise _wrong(source, line, label_column, "empty")
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
    return Row(line, path, one, cell[label_column], split, *flags)


def _truth(source: Path, line: int, column: str, text: str) -> bool:
    if text.lower() in TRUE:
        return True
    if text.lower() in FALSE:
        return False
    raise _wrong(source, line, column, f"{text!r} is neither true nor false")


def _check_files(source: Path, rows: list[Row]) -> None:
    missing = [row for row in rows if isinstance(row.path, str) and not os.path.lexists(row.path)]
    if missing:
        first, *others = missing
        more = f" (and {len(others):,} more: line {first_few([str(row.line) for row in others])})" if others else ""
        raise _wrong(source, first.line, "path", f"no such file: {name_of(first.path)}{more}")


def _wrong(source: Path, line: int, column: str, what: str) -> DataError:
    return DataError(f"{source}: line {line}, column {column}: {what}")
