"""A CSV file as rows of text: one way to read cells and headers, one line for what is wrong with them."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.contract import DataError
from bench.naming import first_few, tidied

OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}


@dataclass(frozen=True)
class CsvTable:
    """header: the names of the columns, the first line's cells; rows: number of the line, and its cells by column.

    Cells and names are stripped of blanks around them, and in Unicode's normal form C.
    """

    source: Path
    header: tuple[str, ...]
    rows: list[tuple[int, dict[str, str]]]

    @property
    def separator_hint(self) -> str:
        """What to say where a column is missing and the file looks as if its cells were not separated by commas."""
        other = [name for sign, name in OTHER_SEPARATORS.items() if sign in ",".join(self.header)]
        return f"; its cells are separated by {other[0]}: save it with commas" if other else ""


def read_csv(source: Path) -> CsvTable:
    """Read a CSV file in UTF-8 with a header; lines without a cell are passed over.

    Raises DataError that names the line: of a cell too few or too many, of what is no CSV or no UTF-8, of a column's
    name that is there twice.
    """
    lines = _lines(source)
    header = next(lines, (1, []))[1]
    twice = [name for name, times in Counter(header).items() if times > 1 and name]
    if twice:
        raise DataError(f"{source}: line 1: the column {first_few(twice)} is there twice; keep one, or rename it")
    return CsvTable(source, tuple(header), [(line, _row(source, line, header, cells)) for line, cells in lines])


def read_cells(source: Path) -> list[tuple[int, list[str]]]:
    """Return the number and the cells of every line that has any, the first line's too. Raises as ``read_csv`` does."""
    return list(_lines(source))


def not_utf8(source: Path) -> DataError:
    """Return the error for a text file that cannot be decoded, with the first line that cannot."""
    for number, line in enumerate(source.read_bytes().split(b"\n"), start=1):
        try:
            line.decode()
        except UnicodeDecodeError as error:
            return DataError(f"{source}: line {number}: not UTF-8 text ({error.reason}); save it as UTF-8")
    return DataError(f"{source}: not UTF-8 text; save it as UTF-8")


def _row(source: Path, line: int, header: list[str], cells: list[str]) -> dict[str, str]:
    if len(cells) != len(header):
        raise DataError(
            f"{source}: line {line}: {len(cells)} values for {len(header)} columns; quote those with a comma"
        )
    return dict(zip(header, cells, strict=True))


def _lines(source: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            for cells in reader:
                if any("\0" in cell for cell in cells):
                    raise DataError(f"{source}: line {reader.line_num}: a zero byte in it; is it text at all?")
                if cells:
                    yield reader.line_num, [tidied(cell) for cell in cells]
    except UnicodeDecodeError as error:
        raise not_utf8(source) from error
    except csv.Error as error:
        raise DataError(f"{source}: line {reader.line_num}: not valid CSV ({error})") from error
    except OSError as error:
        raise DataError(f"{source}: cannot be read ({error.strerror})") from error
