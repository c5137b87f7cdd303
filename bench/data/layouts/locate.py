"""Where a data set named by a word lies: a path, a folder below the data root, ``hf:<owner>/<name>``."""

from __future__ import annotations

from pathlib import Path

from bench.contract import DataPlace, UsageError
from bench.data.layouts.json_layout import TRAIN_INFO
from bench.environment import user_path
from bench.naming import did_you_mean

TABLES = (".csv", ".parquet", ".pq")
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".xz", ".bz2", ".7z", ".rar")


def loader_for_path(path: str) -> tuple[str, dict[str, str]]:
    """Return the name and the options of the plugin for a user's path: "folder" or "manifest".

    Raises UsageError for a path where nothing is, with the likeliest name beside it, and for a file of another kind.
    """
    where = user_path(path)
    options = {"path": str(where)}
    if where.is_dir():
        return ("manifest" if (where / TRAIN_INFO).is_file() else "folder"), options
    if where.suffix.lower() in TABLES and where.is_file():
        return "manifest", options
    if where.name == TRAIN_INFO and where.is_file():
        return "manifest", {"path": str(where.parent)}
    if where.suffix.lower() in ARCHIVES and where.is_file():
        raise UsageError(f"{path}: an archive; unpack it and give the folder")
    if where.exists():
        raise UsageError(
            f"{path}: cannot be read as a data set; give a folder of class folders, or a CSV or Parquet file"
        )
    raise UsageError(f"{path}: {_what_is_missing(where)}")


def _what_is_missing(path: Path) -> str:
    """Name the first part of the path that does not exist, and what is there instead."""
    missing = next((part for part in (*reversed(path.parents), path) if not part.exists()), path)
    if not missing.parent.is_dir():
        return f"{missing.parent} is not a folder"
    beside = [entry.name for entry in missing.parent.iterdir()]
    return f"no such file or folder{did_you_mean(missing.name, beside)}" + (
        "" if missing == path else f" ({missing} does not exist)"
    )


def own_path(path: str, place: DataPlace) -> Path:
    """Return the path of the user's own data: as it is, or else under the data root. Raises UsageError if not given."""
    if not path:
        raise UsageError("own data needs a path: give it as the data set, or as the option path")
    where = user_path(path)
    if place.root is not None and not where.exists() and (place.root / where).exists():
        return place.root / where
    return where


PREFIXES = {"hf": "hf", "torchvision": "torchvision_set"}  # before the colon: the plugin that gets the rest as its name


def plugin_of(word: str) -> tuple[str, dict[str, str]] | None:
    """Return the plugin and its options that a prefixed word stands for, or None for any other word."""
    prefix, colon, rest = word.partition(":")
    return (PREFIXES[prefix], {"name": rest}) if colon and prefix in PREFIXES else None
