"""How values are written in every table and text of the results."""

from __future__ import annotations

from typing import Any


def plain(value: Any) -> str:
    """Return an option's value as a person would type it: 2, not 2.0."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def p_value(p: float) -> str:
    """Return a p value with its sign: never rounded to nought."""
    return f"p = {p:.3f}" if p >= 0.001 else "p < 0.001"


def many(count: int, noun: str, plural: str = "") -> str:
    """Return a count with its noun: 1 row, 2 rows, 1 query, 10,000 queries (plural given)."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"
