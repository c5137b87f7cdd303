"""A table of images: a CSV file with path, label, split and, where the data names them, queries and gallery.

The columns are those of open-metric-learning. A folder with JSON manifests is read by `bench.data.json_layout`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.contract import DataError
from bench.data.json_layout import TRAIN_INFO, list_json_layout
from bench.data.listing import SPLIT_NAMES, Listing, Part, with_test
from bench.data.naming import first_few, id_of, slug
from bench.naming import did_you_mean

NEEDED = ("path", "label", "split")
FLAGS = ("is_query", "is_gallery")
TRUE = frozenset(("1", "1.0", "true", "t", "yes", "y"))
FALSE = frozenset(("", "0", "0.0", "false", "f", "no", "n", "nan", "none", "null"))  # the last as pandas writes gaps


@dataclass(frozen=True)
class Row:
    """One line of a manifest."""

    line: int
    path: Path
    id: str
    label: str
    split: str
    is_query: bool
    is_gallery: bool


def list_manifest(source: Path) -> Listing:
    """List the images of a CSV manifest, or of a folder (or its JSON file) in the layout with JSON manifests."""
    if source.name == TRAIN_INFO:
        source = source.parent
    if source.is_dir():
        return list_json_layout(source)
    if not source.is_file():
        raise DataError(f"{source}: no such file")
    rows = list(_rows(source))
    _check_files(source, rows)
    parts = with_test(_parts(source, rows), source)
    return Listing(slug(source.resolve().parent.name, source.stem), source, parts)


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
    rows = tuple(rows)
    return Part(tuple(r.path for r in rows), tuple(r.label for r in rows), tuple(r.id for r in rows))


def _rows(source: Path) -> Iterator[Row]:
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip() for name in next(reader, [])]
            _check_header(source, header)
            labels: dict[str, str] = {}
            for values in reader:
                if values:
                    row = _row(source, reader.line_num, header, values)
                    if labels.setdefault(row.id, row.label) != row.label:
                        raise _wrong(source, row.line, "label", f"{row.id} was {labels[row.id]!r} before")
                    yield row
    except UnicodeDecodeError as error:
        raise DataError(f"{source}: not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from error
    except csv.Error as error:
        raise DataError(f"{source}: line {reader.line_num}: not valid CSV ({error})") from error
    except OSError as error:
        raise DataError(f"{source}: cannot be read ({error.strerror})") from error


def _check_header(source: Path, header: list[str]) -> None:
    for column in NEEDED:
        if column not in header:
            raise DataError(
                f"{source}: line 1: no column {column!r}{did_you_mean(column, header)} "
                f"(needed: {', '.join(NEEDED)}; found: {', '.join(header) or 'nothing'})"
            )
    if len(set(header) & set(FLAGS)) == 1:
        raise DataError(f"{source}: line 1: is_query and is_gallery go together; only one of the columns is there")


def _row(source: Path, line: int, header: list[str], values: list[str]) -> Row:
    if len(values) != len(header):
        raise DataError(
            f"{source}: line {line}: {len(values)} values for {len(header)} columns; quote those with a comma"
        )
    cell = {name: value.strip() for name, value in zip(header, values, strict=True)}
    for column in ("path", "label"):
        if not cell[column]:
            raise _wrong(source, line, column, "empty")
    split = SPLIT_NAMES.get(cell["split"].lower())
    if split is None:
        raise _wrong(source, line, "split", f"{cell['split']!r} is not one of train, validation, test")
    flags = [_truth(source, line, column, cell.get(column, "")) for column in FLAGS]
    if split == "train" and flags[0]:
        raise _wrong(source, line, "is_query", "a train image cannot be a query: it was learnt from")
    path = source.parent / Path(cell["path"]).expanduser()
    return Row(line, path, id_of(path, source.parent), cell["label"], split, *flags)


def _truth(source: Path, line: int, column: str, text: str) -> bool:
    if text.lower() in TRUE:
        return True
    if text.lower() in FALSE:
        return False
    raise _wrong(source, line, column, f"{text!r} is neither true nor false")


def _check_files(source: Path, rows: list[Row]) -> None:
    missing = [row for row in rows if not row.path.is_file()]
    if missing:
        first, *others = missing
        more = f" (and {len(others):,} more: line {first_few([str(row.line) for row in others])})" if others else ""
        raise _wrong(source, first.line, "path", f"no such file: {first.path}{more}")


def _wrong(source: Path, line: int, column: str, what: str) -> DataError:
    return DataError(f"{source}: line {line}, column {column}: {what}")
