"""Whose vector is each, and which run made it? The ids of a file of vectors lie inside it, or in a list beside it."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.contract import DAMAGED_ARRAYS, DataError, UsageError
from bench.data.formats.vector_files import VECTOR_FILES, has_names, path_and_key, read_names
from bench.naming import reason_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Entries of a safetensors file's metadata: a list of ids as JSON; the run's place, and a digest of its weights.
IDS, MADE_BY, MODEL = "ids", "run", "model"
_BESIDE = (".csv", ".txt")


def is_vector_file(word: str) -> bool:
    """Whether ``PATH`` or ``PATH:KEY`` names a file of vectors, by its ending."""
    return path_and_key(word)[0].suffix.lower() in VECTOR_FILES


def read_ids(word: str, named: str | None = None) -> NDArray[Any]:
    """Return the ids ``(n,)`` of the vectors that ``word`` names, as ``read_names`` does.

    named: the file with them, as ``PATH`` or ``PATH:KEY``. Without it: the only array or column of names of an npz or
    Parquet file, or the one called ``id``; the JSON list ``ids`` in a safetensors file's metadata; or the list of the
    same name beside it, .csv or .txt. Raises UsageError where there is none.
    """
    if named is not None:
        return read_names(named, "id")
    path, _ = path_and_key(word)
    if path.is_file() and has_names(path):
        return read_names(str(path), "id")
    inside = _in_metadata(path) if path.is_file() and path.suffix.lower() == ".safetensors" else None
    if inside is not None:
        return inside
    beside = [path.with_suffix(ending) for ending in _BESIDE]
    found = next((one for one in beside if one.is_file()), None)
    if found is None:
        lists = " and no ".join(one.name for one in beside)
        raise UsageError(f"{path}: no ids in it, and no {lists} beside it; give a list by --ids, an id a vector")
    return read_names(str(found), "id")


def maker_of(word: str) -> str:
    """Return which run made a file's vectors, as `simbench embed` writes it into safetensors files; "" where unknown.

    word: as of ``read_vectors``, which says what is wrong with the file.
    """
    path, _ = path_and_key(word)
    facts = _metadata(path) if path.is_file() and path.suffix.lower() == ".safetensors" else {}
    return " ".join(facts[name] for name in (MADE_BY, MODEL) if facts.get(name))


def _metadata(path: Path) -> dict[str, str]:
    safetensors: Any = importlib.import_module("safetensors")
    try:
        with safetensors.safe_open(path, framework="np") as file:
            return file.metadata() or {}
    except (*DAMAGED_ARRAYS, safetensors.SafetensorError) as error:
        raise DataError(f"{path}: cannot be read ({reason_of(error)})") from error


def _in_metadata(path: Path) -> NDArray[Any] | None:
    text = _metadata(path).get(IDS)
    if text is None:
        return None
    try:
        names = json.loads(text)
    except ValueError as error:
        raise DataError(f"{path}: cannot be read ({reason_of(error)})") from error
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise DataError(f"{path}: {IDS!r} in its metadata must be a JSON list of texts")
    return np.array(names, dtype=np.str_)
