"""A Parquet file with the images in it: a column of image files' bytes, their labels, and a split if there is one.

The columns are those of Hugging Face: ``image`` (bytes, or a struct with ``bytes`` and ``path``), ``label`` (a text, a
number, or a number with names in the file's metadata), and optionally ``split``, ``is_query`` and ``is_gallery``.
The bytes are taken out once, a few at a time, into one file in the cache, from which every image can be read by itself.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from bench.contract import DataError, SimbenchError
from bench.data.decoding.cache import ENTRY, PACKED_IMAGES, UNPACKED, crc_of, read_facts, write_facts
from bench.data.decoding.image_source import Piece
from bench.files import making_once, replacing, state_of
from bench.naming import did_you_mean, reason_of

USUAL = ("label", "labels", "fine_label", "class", "target")  # label columns, the likeliest first
README = "README.md"
EXTRA = "pip install 'simbench-retrieval[hf]'"
LENGTHS, PATHS = "lengths.npy", "paths.json"
PARTS = (PACKED_IMAGES, LENGTHS, PATHS)
BATCH = 64  # images taken out at a time: photographs are megabytes

logger = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class Columns:
    """The columns' names; classes: names of the labels' numbers, or nothing where the labels are names themselves."""

    image: str
    label: str
    classes: tuple[str, ...]


def with_pyarrow(path: Path, reader: Callable[[Any], T]) -> T:
    """Return what a function of the module ``pyarrow.parquet`` reads from a file.

    Raises DataError where there is no pyarrow, and in place of its own errors.
    """
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise DataError(f"{path}: reading Parquet needs pyarrow: {EXTRA}") from error
    try:
        return reader(parquet)
    except SimbenchError:
        raise
    except OSError as error:  # pyarrow's own errors among them, which have lines
        raise DataError(f"{path}: cannot be read ({error.strerror or reason_of(error)})") from error
    except Exception as error:  # pyarrow's errors, which have no class that can be named without importing it
        raise DataError(f"{path}: not a Parquet file that can be read ({reason_of(error)})") from error


def columns_of(path: Path, label: str, readme: Path) -> Columns:
    """Find a table's columns. label: the label column's name, "" to find it; readme: of the set, if it has one.

    Raises DataError that names the columns there are.
    """
    schema = with_pyarrow(path, lambda parquet: parquet.read_schema(path))
    features = {**_from_readme(readme), **_from_metadata(schema.metadata)}
    names = list(schema.names)
    kinds = {name: str(schema.field(name).type) for name in names}
    images = [name for name in names if "binary" in kinds[name]]
    labels = [name for name in names if features.get(name)] or [
        name for name in names if kinds[name].startswith(("int", "uint", "string", "large_string", "dictionary"))
    ]
    found = ", ".join(names)
    if not images:
        raise DataError(f"{path}: no column with images' bytes (found: {found})")
    if label and label not in names:
        raise DataError(f"{path}: no column {label!r}{did_you_mean(label, names)} (found: {found})")
    usual = [name for name in USUAL if name in labels]
    chosen = label or (labels[0] if len(labels) == 1 else next(iter(usual), ""))
    if not chosen:
        raise DataError(f"{path}: which column is the label? Give --set datasets.hf.label=NAME (found: {found})")
    return Columns("image" if "image" in images else images[0], chosen, features.get(chosen, ()))


def _from_metadata(metadata: Mapping[bytes, bytes] | None) -> dict[str, tuple[str, ...]]:
    """Return the class names by column that `datasets` wrote into the file."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        return {name: tuple(map(str, one["names"])) for name, one in features.items() if one.get("names")}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


def _from_readme(path: Path) -> dict[str, tuple[str, ...]]:
    """Return the class names by column of the ``dataset_info`` at the head of a set's README."""
    try:
        yaml: Any = importlib.import_module("yaml")  # huggingface_hub brings it
        facts = yaml.safe_load(path.read_text("utf-8").split("---")[1])["dataset_info"]
        found = {}
        for feature in (facts[0] if isinstance(facts, list) else facts)["features"]:
            dtype = feature["dtype"]
            names = dtype.get("class_label", {}).get("names") if isinstance(dtype, dict) else None
            if names:
                found[feature["name"]] = tuple(map(str, names.values() if isinstance(names, dict) else names))
        return found
    except Exception:  # no README, no yaml, or another form of it: the labels keep their numbers
        return {}


@dataclass(frozen=True)
class Table:
    """images: one piece a row; paths: what the rows call their images, where they do; cells: the other columns.

    unread: the names of those that nobody asked for.
    """

    images: list[Piece]
    paths: list[str | None]
    cells: dict[str, list[Any]]
    unread: list[str]


def read_parquet(
    source: Path, cache: Path, label_column: str, image_column: str = "image", others: Sequence[str] = ()
) -> Table:
    """Return a table's rows, their images unpacked. Raises DataError that says what is missing.

    others: columns to read beside the label's and the split's, where there are such.
    """

    def read(parquet: Any) -> tuple[dict[str, list[Any]], Path, list[str]]:
        with parquet.ParquetFile(source) as file:
            names = file.schema_arrow.names
            for column in (image_column, label_column):
                if column not in names:
                    raise DataError(
                        f"{source}: no column {column!r}{did_you_mean(column, names)} (found: {', '.join(names)})"
                    )
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice is not None:
                raise DataError(f"{source}: the column {twice!r} is there twice; keep one, or rename it")
            wanted = [name for name in dict.fromkeys((label_column, "split", *others)) if name in names]
            table = file.read(columns=wanted)
            cells = {name: texts_of(source, name, table.column(name)) for name in wanted}
            cells[label_column] = _named(file.schema_arrow.metadata, label_column, cells[label_column])
            unread = [name for name in names if name not in (*wanted, image_column)]
            return cells, _unpacked(source, cache, file, image_column), unread

    cells, folder, unread = with_pyarrow(source, read)
    lengths = np.load(folder / LENGTHS, allow_pickle=False).tolist()
    paths = json.loads((folder / PATHS).read_text("utf-8"))
    pieces, start = [], 0
    for row, length in enumerate(lengths):
        pieces.append(Piece(str(folder / PACKED_IMAGES), start, length, f"{source}: row {row + 1}"))
        start += length
    return Table(pieces, paths, cells, unread)


def texts_of(source: Path, name: str, column: Any) -> list[Any]:
    """Return the values of a column. Raises DataError that names the first row with a text that is no UTF-8."""
    try:
        values: list[Any] = column.to_pylist()
    except UnicodeDecodeError:
        for row, value in enumerate(column, start=1):
            try:
                value.as_py()
            except UnicodeDecodeError as error:
                raise DataError(f"{source}: row {row}, column {name}: not UTF-8 text ({error.reason})") from error
        raise
    return values


def _named(metadata: dict[bytes, bytes] | None, column: str, values: list[Any]) -> list[Any]:
    """Return labels by name where Hugging Face's metadata has names for their numbers."""
    names = _from_metadata(metadata).get(column, ())
    numbers = {value for value in values if isinstance(value, int) and value >= 0}
    if max(numbers, default=0) >= len(names):
        return values
    return [names[value] if value in numbers else value for value in values]


def _unpacked(source: Path, cache: Path, file: Any, column: str) -> Path:
    """Return the folder with a table's images, made now if it is not there."""
    about = source.stat()
    state = [os.path.abspath(source), about.st_size, about.st_mtime_ns, about.st_ctime_ns, column]
    folder = cache / UNPACKED / sha256(json.dumps(state).encode()).hexdigest()[:32]
    for _ in range(2):  # again where what lies there is damaged
        with making_once(folder, proof=ENTRY) as new:
            if new is not None:
                _unpack(file, new, source, column, folder.name)
        if _intact(folder):
            break
        shutil.rmtree(folder, ignore_errors=True)
    else:
        raise DataError(f"{folder}: images cannot be read back after they were written; look at the disk")
    os.utime(folder / ENTRY)
    return folder


_verified: set[object] = set()  # the states in which folders' images were verified


def _intact(folder: Path) -> bool:
    """Whether a table's images are what was written, looked at once a process; if not, a warning says so."""
    try:
        state = state_of(folder / PACKED_IMAGES)
        facts = read_facts(folder)
        parts = {name: crc_of(folder / name) for name in ((LENGTHS, PATHS) if state in _verified else PARTS)}
        if any(facts["crcs"][name] != crc for name, crc in parts.items()):
            raise ValueError("it is not what was written")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        logger.warning("%s: a damaged cache entry, unpacking again (%s)", folder, error)
        return False
    _verified.add(state)
    return True


def _unpack(file: Any, folder: Path, source: Path, column: str, name: str) -> None:
    lengths: list[int] = []
    paths: list[str | None] = []
    with (folder / PACKED_IMAGES).open("wb") as out:
        for data, path in _images(file, source, column):
            out.write(data)
            lengths.append(len(data))
            paths.append(path)
        out.flush()
        os.fsync(out.fileno())
    np.save(folder / LENGTHS, np.array(lengths, np.int64))
    with replacing(folder / PATHS) as temporary:
        temporary.write_text(json.dumps(paths), "utf-8")
    crcs = {part: crc_of(folder / part) for part in PARTS}
    write_facts(folder, {"what": str(source), "files": len(lengths), "crcs": crcs}, name)


def _images(file: Any, source: Path, column: str) -> Iterator[tuple[bytes, str | None]]:
    for batch in file.iter_batches(batch_size=BATCH, columns=[column]):
        for value in texts_of(source, column, batch.column(0)):
            if isinstance(value, dict):
                data, path = value.get("bytes"), value.get("path")
            else:
                data, path = value, None
            if data is not None and not isinstance(data, bytes):
                raise DataError(
                    f"{source}: the column {column} holds {type(data).__name__}, not the bytes of image files"
                )
            yield data or b"", path
