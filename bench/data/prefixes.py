"""Words for data sets that are found elsewhere by name: ``hf:<owner>/<name>``, ``torchvision:<Class>``."""

from __future__ import annotations

PREFIXES = {"hf": "hf", "torchvision": "torchvision_set"}  # before the colon: the plugin that gets the rest as its name


def plugin_of(word: str) -> tuple[str, dict[str, str]] | None:
    """Return the plugin and its options that a prefixed word stands for, or None for any other word."""
    prefix, colon, rest = word.partition(":")
    return (PREFIXES[prefix], {"name": rest}) if colon and prefix in PREFIXES else None
