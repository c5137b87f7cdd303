"""A row's values over its seeds: what every table asks of the table of runs."""

from __future__ import annotations

import pandas as pd


def mean_over(runs: pd.DataFrame, column: str) -> float | None:
    """Return a column's mean over seeds, None where no run has it."""
    if column not in runs:
        return None
    values = pd.to_numeric(runs[column], errors="coerce").dropna()
    return None if values.empty else float(values.mean())


def interval_of(runs: pd.DataFrame, kind: str) -> tuple[float, float] | None:
    """Return the ends that the first run has of an interval such as ``map_seeds_ci95``, None where one is missing."""
    ends = [runs[f"{kind}_{end}"].iloc[0] for end in ("low", "high") if f"{kind}_{end}" in runs]
    if len(ends) < 2 or pd.isna(ends).any():
        return None
    return float(ends[0]), float(ends[1])
