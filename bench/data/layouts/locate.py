"""What a ``--dataset`` word stands for: a data set's name, with a variant or without, ``hf:<owner>/<name>``, a path."""

from __future__ import annotations

from pathlib import Path

from bench.contract import DataPlace, UsageError
from bench.data.layouts.json_layout import TRAIN_INFO
from bench.data.layouts.uned_layout import is_uned
from bench.environment import user_path
from bench.naming import canonical, did_you_mean
from bench.plugins import DATASET
from bench.registry import plugin_names, variants_of

TABLES = (".csv", ".parquet", ".pq")
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".xz", ".bz2", ".7z", ".rar")


def loader_for_path(path: str) -> tuple[str, dict[str, str]]:
    """Return the name and the options of the plugin for a user's path: "folder" or "manifest".

    Raises UsageError for a path where nothing is, with the likeliest name beside it, and for a file of another kind.
    """
    where = user_path(path)
    options = {"path": str(where)}
    if where.is_dir():
        return ("manifest" if (where / TRAIN_INFO).is_file() or is_uned(where) else "folder"), options
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
    """Return the plugin that a word names and the options it gives it, or None for a word that can only be a path.

    A word is a data set's name; NAME:VARIANT, or NAME-VARIANT as tables have it, for the option ``variant``; or one of
    the prefixes. Raises UsageError for a variant that there is not, unless there is a file or folder of that name.
    """
    first, colon, rest = word.partition(":")
    if colon and first in PREFIXES:
        return PREFIXES[first], {"name": rest}
    known, name = plugin_names(DATASET), canonical(first)
    if not colon:
        return (name, {}) if name in known else _as_in_tables(name, known)
    if name not in known or any(mark in rest for mark in "/\\"):
        return None
    variants, variant = variants_of(name), canonical(rest)
    if variant in variants:
        return name, {"variant": variant}
    if Path(word).exists():
        return None
    has = f"it has: {', '.join(variants)}" if variants else "it has none"
    raise UsageError(f"data set {name} has no variant {rest!r}{did_you_mean(variant, variants)} ({has})")


def _as_in_tables(name: str, known: list[str]) -> tuple[str, dict[str, str]] | None:
    """Return the plugin and the variant that a name of a table has in one, or None where it does not."""
    for plugin in known:
        variant = name.removeprefix(f"{plugin}_")
        if variant != name and variant in variants_of(plugin):
            return plugin, {"variant": variant}
    return None
