"""Means over seeds and queries with their intervals, and names for rows: what the tables of curves have in common."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.evaluation.arrays import Floats, Ints
from bench.evaluation.statistics import interval, seeds_by_queries, units
from bench.report.row_names import varied_choices
from bench.runs.store import RunRecord


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and queries. low, high: its 95 % interval; spread: standard deviation of the seeds' means.

    The spread is NaN for one seed.
    """

    mean: float
    low: float
    high: float
    spread: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} ± {(self.high - self.low) / 2:.3f}"


def estimates(columns: Mapping[str, Floats], classes: Ints) -> dict[str, Estimate]:
    """Return the estimate of each column, all over the same resamples: seeds and queries (or classes) drawn anew.

    columns: float64 ``(seeds, q)`` each, NaN for the same queries in all; classes: int64 ``(q,)``.
    """
    stacked = np.concatenate(list(columns.values())).T
    drawn = len(units(stacked[:, :1], classes)[1])
    low, high = interval(seeds_by_queries(stacked, classes, [len(one) for one in columns.values()]), drawn)
    found = {}
    for at, (name, values) in enumerate(columns.items()):
        means = np.nanmean(values, axis=1)
        spread = float(means.std(ddof=1)) if len(means) > 1 else float("nan")
        found[name] = Estimate(float(means.mean()), float(low[at]), float(high[at]), spread)
    return found


def row_names(runs: Mapping[str, RunRecord]) -> dict[str, str]:
    """Return a name for each row of a table by one of its runs: the method, and what sets it apart from its others."""
    rows = [
        {
            "method": run.content["method"],
            "key": key,
            "options": json.dumps({**run.content["spec"]["options"], **_scoring(run)}),
            "budget": json.dumps(run.content["spec"]["budget"]),
            "device": run.content["spec"].get("device", "cpu"),
            "engine": run.content["spec"].get("engine", "torch"),
        }
        for key, run in runs.items()
    ]
    named = {}
    for (method, key), apart in varied_choices(pd.DataFrame(rows)).items():
        words = ", ".join(f"{name}={value}" for name, value in apart.items())
        named[key] = f"{method} ({words})" if words else method
    return named


def _scoring(run: RunRecord) -> dict[str, str]:
    """Return how a run was scored, where its specification says so."""
    spec = run.content["spec"]
    return {name: str(spec[name]) for name in ("ties", "ks") if name in spec}


def stem(words: Sequence[str], taken: Sequence[str], digest: str) -> str:
    """Return a file's stem of some words, with some of a digest behind them where that stem is taken already."""
    plain = re.sub(r"[^\w.-]+", "-", "-".join(words))
    return f"{plain}-{digest[:8]}" if plain in taken else plain
