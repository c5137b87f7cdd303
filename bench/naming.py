"""How names are spelled, and what to say when one is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the likeliest of the known names, or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def canonical(name: str) -> str:
    """Return a plugin name as its file spells it: ``-`` and ``_`` are the same to a user."""
    return name.strip().replace("-", "_").lower()
