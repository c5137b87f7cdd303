"""Which columns of a Parquet file of the Hub hold the images and the labels, and what the labels are called."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.contract import DataError
from bench.data.hub import EXTRA
from bench.naming import did_you_mean

USUAL = ("label", "labels", "fine_label", "class", "target")  # label columns, the likeliest first
README = "README.md"


@dataclass(frozen=True)
class Columns:
    """The columns' names; classes: names of the labels' numbers, or nothing where the labels are names themselves."""

    image: str
    label: str
    classes: tuple[str, ...]


def columns_of(path: Path, label: str, readme: Path) -> Columns:
    """Find a table's columns. label: the label column's name, "" to find it; readme: of the set, if it has one.

    Raises DataError that names the columns there are.
    """
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise DataError(f"{path}: reading Parquet needs pyarrow: {EXTRA}") from error
    try:
        schema = parquet.read_schema(path)
    except Exception as error:  # pyarrow's errors, which have no class that can be named without importing it
        raise DataError(
            f"{path}: not a Parquet file that can be read ({' '.join(str(error).split())[:200]})"
        ) from error
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
