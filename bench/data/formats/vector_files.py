"""Vectors, labels and ids from files: npy, npz, safetensors, Parquet, and for labels and ids also txt and csv.

A file is named by its path, and one array or column of a file with several as ``PATH:KEY``.
"""

from __future__ import annotations

import importlib
import math
import os
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.contract import DAMAGED_ARRAYS, DataError, UsageError
from bench.data.formats.csv_table import not_utf8, read_cells, read_csv
from bench.data.formats.parquet import texts_of, with_pyarrow
from bench.environment import user_path
from bench.naming import did_you_mean, reason_of, tidied, why_no_name

if TYPE_CHECKING:
    from torch import Tensor

BOMB_BYTES, BOMB_RATIO = 1 << 30, 100  # unpacked; vectors shrink to a half at best, labels of one kind to a hundredth
VECTOR_FILES = (".npy", ".npz", ".safetensors", ".parquet")
NAME_FILES = (".npy", ".npz", ".parquet", ".txt", ".csv")


def read_vectors(word: str) -> NDArray[Any] | Tensor:
    """Return the vectors ``(n, d)`` in a file: an array, for npy a memory map, for bfloat16 a tensor.

    word: ``PATH`` or ``PATH:KEY``. Without a key the file must hold one array of two dimensions; a Parquet file one
    column of lists, or else its columns of floating-point numbers are the dimensions. Raises UsageError for an
    unknown kind of file or key, DataError for a file that cannot be read.
    """
    path, key = _split(word, VECTOR_FILES)
    if path.suffix.lower() == ".npy":
        return _numpy(path)
    if path.suffix.lower() == ".npz":
        return _from_npz(path, key, 2)
    if path.suffix.lower() == ".safetensors":
        return _from_safetensors(path, key)
    return _vectors_from_parquet(path, key)


def read_names(word: str, usual: str) -> NDArray[Any]:
    """Return the labels or ids ``(n,)`` in a file: as they are in it; text from txt (one a line) and csv.

    A csv has a header, which a single column of numbers may lack.
    word: ``PATH`` or ``PATH:KEY``. Without a key: the only array or column, else the one called ``usual``, such as
    "label". Raises like ``read_vectors``.
    """
    path, key = _split(word, NAME_FILES)
    kind = path.suffix.lower()
    if kind == ".npy":
        return _tidied(path, _numpy(path))
    if kind == ".npz":
        return _tidied(path, _from_npz(path, key, 1, usual))
    if kind == ".parquet":
        return _tidied(path, _names_from_parquet(path, key, usual))
    if kind == ".txt":
        return np.array(_text_lines(path), dtype=np.str_)
    return np.array(_from_csv(path, key, usual), dtype=np.str_)


def _from_csv(path: Path, key: str, usual: str) -> list[str]:
    cells = read_cells(path)
    heads = cells[0][1] if cells else []
    if len(heads) == 1 and not key and _is_number(heads[0]):  # one column of numbers without a header
        values = [(line, row[0]) for line, row in cells]
    else:
        table = read_csv(path)
        at = _choose(path, key, table.header, usual)
        values = [(line, row[at]) for line, row in table.rows]
    return [_named(path, f"line {line}", value) for line, value in values]


def _text_lines(path: Path) -> list[str]:
    """Return the names in a text file, one a line; blank lines may only follow the last."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise not_utf8(path) from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    lines = text.rstrip().split("\n") if text.strip() else []
    return [_named(path, f"line {number}", tidied(line)) for number, line in enumerate(lines, start=1)]


def _named(path: Path, where: str, name: str) -> str:
    """Return a name. Raises DataError for what is none."""
    if problem := why_no_name(name):
        raise DataError(f"{path}: {where}: {problem}; {'mend' if name else 'fill'} it, or leave its vector out too")
    return name


def _tidied(path: Path, names: NDArray[Any]) -> NDArray[Any]:
    """Return names as all are compared. Raises DataError for what is none."""
    texts = names.tolist() if names.dtype.kind in "UO" and names.ndim == 1 else []
    if not all(isinstance(text, str) for text in texts) or not texts:
        return names
    found = [_named(path, f"row {row}", tidied(text)) for row, text in enumerate(texts, start=1)]
    return np.array(found, dtype=np.str_)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def path_and_key(word: str) -> tuple[Path, str]:
    """Return what ``PATH`` or ``PATH:KEY`` names; the key is empty where none is given."""
    path = user_path(word)
    if not path.exists() and ":" in word:
        name, _, key = word.rpartition(":")
        return (user_path(name), key) if len(name) > 1 else (path, "")  # else: a drive's letter
    return path, ""


def has_names(path: Path) -> bool:
    """Whether an npz or Parquet file holds something that ``read_names`` can read. Raises DataError as it does."""
    if path.suffix.lower() == ".parquet":
        return bool(_plain_columns(path))
    if path.suffix.lower() != ".npz":
        return False
    with _read(path, lambda: zipfile.ZipFile(path)) as archive:
        shapes = _read(path, lambda: _shapes(archive))
    return any(len(shape) == 1 for shape in shapes.values())


def _split(word: str, kinds: Sequence[str]) -> tuple[Path, str]:
    """Return (path, key) of a file of one of these kinds."""
    path, key = path_and_key(word)
    if not path.is_file():
        raise DataError(f"no such file: {path}")
    if path.suffix.lower() not in kinds:
        raise UsageError(f"{path}: expected one of {', '.join(kinds)}, got {path.suffix or 'no ending'}")
    if key and path.suffix.lower() in (".npy", ".txt"):
        raise UsageError(f"{path} holds one array: leave out ':{key}'")
    return path, key


def _read(path: Path, reader: Callable[[], Any]) -> Any:
    try:
        return reader()
    except DAMAGED_ARRAYS as error:
        raise DataError(f"{path}: cannot be read ({reason_of(error)})") from error


def _numpy(path: Path) -> NDArray[Any]:
    with np.errstate(all="ignore"):  # sizes that overflow raise an error too
        array: NDArray[Any] = _read(path, lambda: np.load(path, mmap_mode="r", allow_pickle=False))
    return array


def _from_npz(path: Path, key: str, dimensions: int, usual: str = "") -> NDArray[Any]:
    opened = _read(path, lambda: np.load(path, allow_pickle=False))
    if isinstance(opened, np.ndarray):
        raise DataError(f"{path}: an npy file, by its content: name it so")
    with opened as file:
        shapes = _read(path, lambda: _shapes(file.zip))
        chosen = _choose(path, key, [name for name, shape in shapes.items() if len(shape) == dimensions], usual)
        found: NDArray[Any] = _read(path, lambda: file[chosen])
    return found


def _shapes(archive: zipfile.ZipFile) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the arrays in an npz file, by name, from their headers alone; what is no array is left out.

    Raises ValueError for an array that is not as large as its header says, or that a bomb would unpack to.
    """
    found = {}
    for member in archive.infolist():
        name, ending = os.path.splitext(member.filename)
        with archive.open(member) as file:
            if ending != ".npy" or file.read(len(np.lib.format.MAGIC_PREFIX)) != np.lib.format.MAGIC_PREFIX:
                continue
            version = tuple(file.read(2))
            reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = reader(file)
            if not dtype.hasobject and math.prod(shape) * dtype.itemsize != member.file_size - file.tell():
                raise ValueError(f"{member.filename} is not as large as its header says")
        if member.file_size > max(BOMB_BYTES, BOMB_RATIO * member.compress_size):
            raise ValueError(f"{member.filename} is a bomb: {member.compress_size:,} bytes for {member.file_size:,}")
        found[name] = tuple(shape)
    return found


def _from_safetensors(path: Path, key: str) -> NDArray[Any] | Tensor:
    safetensors: Any = importlib.import_module("safetensors")
    try:
        with safetensors.safe_open(path, framework="np") as file:
            shapes = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
            chosen = _choose(path, key, [name for name, part in shapes.items() if len(part.get_shape()) == 2])
            kind = shapes[chosen].get_dtype()
            if kind.startswith(("F8", "F4", "F6")):
                raise DataError(f"{path}: {chosen!r} has numbers of kind {kind}; save them as float16 or float32")
            if kind != "BF16":
                array: NDArray[Any] = file.get_tensor(chosen)
                return array
        with safetensors.safe_open(path, framework="pt") as file:  # NumPy has no bfloat16
            tensor: Tensor = file.get_tensor(chosen)
            return tensor
    except (*DAMAGED_ARRAYS, AttributeError, safetensors.SafetensorError) as error:
        raise DataError(f"{path}: cannot be read ({reason_of(error)})") from error


def _vectors_from_parquet(path: Path, key: str) -> NDArray[Any]:
    schema = _schema(path)
    kinds = {name: str(schema.field(name).type) for name in schema.names}
    lists = [name for name, kind in kinds.items() if "list<" in kind]
    floating = [name for name, kind in kinds.items() if kind in ("float", "double", "halffloat")]
    if not key and not lists and floating:
        table = with_pyarrow(path, lambda parquet: parquet.read_table(path, columns=floating))
        return np.column_stack([table.column(name).to_numpy() for name in floating])
    chosen = _choose(path, key, lists)
    column = _column(path, chosen).combine_chunks()
    if not len(column):
        raise DataError(f"{path}: column {chosen!r} has no rows")
    values = column.flatten().to_numpy(zero_copy_only=False)
    lengths = np.unique([len(row) for row in column])
    if len(lengths) != 1:
        raise DataError(f"{path}: the vectors in column {chosen!r} have {lengths.min()} to {lengths.max()} dimensions")
    return np.asarray(values.reshape(len(column), int(lengths[0])))


def _names_from_parquet(path: Path, key: str, usual: str) -> NDArray[Any]:
    chosen = _choose(path, key, _plain_columns(path), usual)
    values = texts_of(path, chosen, _column(path, chosen))
    return np.array(values, dtype=object if values and isinstance(values[0], str) else None)


def _schema(path: Path) -> Any:
    """Return what a Parquet file says of its columns, each of which has a name of its own."""
    schema = with_pyarrow(path, lambda parquet: parquet.read_schema(path))
    twice = next((name for name, times in Counter(schema.names).items() if times > 1), None)
    if twice is not None:
        raise DataError(f"{path}: the column {twice!r} is there twice; keep one, or rename it")
    return schema


def _column(path: Path, name: str) -> Any:
    column = with_pyarrow(path, lambda parquet: parquet.read_table(path, columns=[name])).column(0)
    if column.null_count:
        raise DataError(f"{path}: column {name!r} has {column.null_count} empty rows")
    return column


def _plain_columns(path: Path) -> list[str]:
    schema = _schema(path)
    return [name for name in schema.names if _is_plain(schema.field(name).type)]


def _is_plain(kind: Any) -> bool:
    """Whether a column holds whole numbers or text, also as categories."""
    values = kind.value_type if str(kind).startswith("dictionary") else kind
    return str(values).startswith(("int", "uint", "string", "large_string"))


def _choose(path: Path, key: str, fitting: Sequence[str], usual: str = "") -> str:
    """Return the key to read: the one that is given, the only one, or the usual one."""
    found = f"(found: {', '.join(fitting)})" if fitting else "(found none)"
    if key:
        if key not in fitting:
            raise UsageError(f"{path}: no fitting {key!r}{did_you_mean(key, fitting)} {found}")
        return key
    if len(fitting) == 1:
        return fitting[0]
    if usual in fitting:
        return usual
    if not fitting:
        raise DataError(f"{path}: nothing of the right shape in it")
    raise UsageError(f"{path} holds several: which one? Give {path.name}:KEY {found}")
