"""Files that say what answers each query, or what it does not see: lines of JSON, a CSV of pairs, a sparse matrix."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.contract import DAMAGED_ARRAYS, DataError, UsageError
from bench.data.formats.csv_table import not_utf8, read_csv
from bench.naming import did_you_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

_KINDS = (".jsonl", ".csv", ".npz")


@dataclass(frozen=True)
class Answers:
    """Lists of gallery ids, or a sparse matrix ``(q, N)``, and what each is worth, if the file says it.

    Both are what ``bench.evaluate`` takes as ``positives`` and ``gains``.
    """

    lists: Any
    gains: Any = None


@dataclass(frozen=True)
class Named:
    """A side of a retrieval as files name it: by its ids ``(n,)``, by row number from 0 where there are none."""

    what: str
    count: int
    ids: NDArray[Any] | None = None

    @cached_property
    def known(self) -> dict[str, list[int]]:
        """The rows of each name."""
        names = map(str, range(self.count) if self.ids is None else self.ids.tolist())
        found: dict[str, list[int]] = {}
        for row, name in enumerate(names):
            found.setdefault(name, []).append(row)
        return found

    def rows(self, where: str, name: object) -> list[int]:
        """Return the rows with a name. Raises DataError, beginning with where it stands, for an unknown one."""
        found = self.known.get(str(name)) if isinstance(name, str | int) and not isinstance(name, bool) else None
        if found is None:
            kind = f"a row number below {self.count}, as there are no ids" if self.ids is None else "an id"
            likely = "" if self.ids is None else did_you_mean(str(name), self.known)
            raise DataError(f"{where}: {name!r} is not {kind} of the {self.what}{likely}")
        return found

    def own(self, row: int) -> Any:
        """Return a row's id as it is in the file of ids, or its number."""
        return row if self.ids is None else self.ids[row].item()


def read_answers(file: str, query: Named, gallery: Named) -> Answers:
    """Read what each query's answers are, or what it does not see.

    ``.jsonl``: a line for each query, in their order: a list of gallery ids, or an object of ids and gains. ``.csv``:
    the columns ``query`` and ``item``, and ``gain`` if there is one; a row a pair. ``.npz``: a matrix ``(q, N)`` of
    ``scipy.sparse.save_npz``; its numbers are gains, unless it is boolean.

    Raises:
        UsageError: A file of another kind.
        DataError: It cannot be read, or names what is not there; with the line.
    """
    path = Path(file)
    kind = path.suffix.lower()
    if kind not in _KINDS:
        raise UsageError(f"{file}: cannot be read as lists; give one of {', '.join(_KINDS)}")
    if not path.is_file():
        raise DataError(f"no such file: {file}")
    if kind == ".npz":
        return _from_matrix(path, (query.count, gallery.count))
    found: list[dict[int, float]] = [{} for _ in range(query.count)]
    for where, row, name, gain in (_from_json if kind == ".jsonl" else _from_csv)(path, query):
        for item in gallery.rows(where, name):
            if found[row].setdefault(item, gain) != gain:
                raise DataError(f"{where}: {name!r} has the gains {found[row][item]:g} and {gain:g}; give it one")
    lists = [[gallery.own(item) for item in one] for one in found]
    if gallery.ids is not None:  # an id of several items is named once
        lists, found = [list(dict.fromkeys(one)) for one in lists], [_by_name(one, gallery) for one in found]
    graded = any(gain != 1 for one in found for gain in one.values())
    return Answers(lists, [list(one.values()) for one in found] if graded else None)


def _by_name(worth: Mapping[int, float], gallery: Named) -> dict[Any, float]:
    return {gallery.own(item): gain for item, gain in worth.items()}


def _from_json(path: Path, query: Named) -> Iterator[tuple[str, int, object, float]]:
    """Yield where it stands, the query's row, a name and its gain."""
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip("\n").split("\n")  # not at what JSON lets stand in a text
    except UnicodeDecodeError as error:
        raise not_utf8(path) from error
    if len(lines) != query.count:
        raise DataError(f"{path}: {len(lines)} lines for {query.count} queries; each has its own, if only []")
    for row, line in enumerate(lines):
        where = f"{path}: line {row + 1}"
        try:
            listed = json.loads(line)
        except ValueError as error:
            raise DataError(f"{where}: not valid JSON ({error})") from error
        if not isinstance(listed, list | dict):
            raise DataError(f"{where}: {line[:40]} is neither a list of ids nor an object of ids and gains")
        for name in listed:
            yield where, row, name, _gain(where, listed[name]) if isinstance(listed, dict) else 1.0


def _from_csv(path: Path, query: Named) -> Iterator[tuple[str, int, object, float]]:
    table = read_csv(path)
    for column in ("query", "item"):
        if column not in table.header:
            raise DataError(
                f"{path}: line 1: no column {column!r}{did_you_mean(column, table.header)} "
                f"(found: {', '.join(table.header) or 'nothing'}){table.separator_hint}"
            )
    for line, cell in table.rows:
        where = f"{path}: line {line}"
        gain = _gain(where, cell["gain"]) if "gain" in table.header else 1.0
        for row in query.rows(where, cell["query"]):
            yield where, row, cell["item"], gain


def _gain(where: str, value: object) -> float:
    try:
        gain = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
    except ValueError:
        gain = math.nan
    if not (math.isfinite(gain) and gain >= 0):
        raise DataError(f"{where}: the gain {value!r} is not a finite number of 0 or more")
    return gain


def _from_matrix(path: Path, shape: Sequence[int]) -> Answers:
    from scipy.sparse import load_npz  # noqa: PLC0415 - not every list is a matrix

    try:
        matrix = load_npz(path)
    except (*DAMAGED_ARRAYS, KeyError) as error:
        raise DataError(f"{path}: not a sparse matrix of scipy.sparse.save_npz") from error
    if matrix.shape != tuple(shape):
        raise DataError(f"{path}: a matrix {matrix.shape}, but there are {shape[0]} queries and {shape[1]} items")
    if matrix.dtype != np.bool_ and (matrix.dtype.kind not in "iuf" or not (matrix.data >= 0).all()):
        raise DataError(f"{path}: gains are numbers of 0 or more")
    return Answers(matrix, None if matrix.dtype == np.bool_ else matrix)
