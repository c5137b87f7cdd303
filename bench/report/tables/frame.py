"""Run folders as one flat table: a row a run."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.evaluation.ranking.arrays import Floats, Ints
from bench.evaluation.statistics.bootstrap import interval, seeds_by_queries, units
from bench.report.tables.rank_groups import columns_of, rank_groups
from bench.report.tables.wording import plain, varied_choices
from bench.runs.sanity_checks import alarms
from bench.runs.store import RunRecord


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


_FIRST = ("dataset", "protocol", "method", "seed", "status")
_DIGITS = 12  # of what is worked out here by matrix products, which another machine's library rounds otherwise


def runs_frame(runs: Sequence[RunRecord]) -> pd.DataFrame:
    """Return one row a run: who it is, every metric under its own name, where it stands, cost, where it came from.

    Flags, deviations and leaks are tuples of texts. Ranks and intervals over seeds are those of its table, and the
    same for all seeds of a row. Reads the runs' per-query values for them.
    """
    stand, alarmed = rank_groups(runs), alarms(runs)
    rows = []
    for run in runs:
        content = run.content
        place = (content["dataset"], content["protocol"], content["spec"]["fingerprint"])
        rank_group = stand.get((*place, content["method"], content["key"])) if run.status == "done" else None
        rows.append(_row(content, columns_of(rank_group), alarmed.get(run.folder, ())))
    frame = pd.DataFrame(rows, columns=_columns(rows))
    return frame.sort_values(["dataset", "protocol", "method", "key", "seed"], ignore_index=True)


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the union of the rows' names in an order that does not depend on which run comes first."""
    names = {name: None for row in sorted(rows, key=len, reverse=True) for name in row}
    return list(names) or [*_FIRST, "key"]


def _row(run: Mapping[str, Any], rank_group: Mapping[str, Any], alarmed: Sequence[str]) -> dict[str, Any]:
    spec, made_by = run["spec"], run["provenance"]
    latency, timings = run.get("latency", {}), run.get("timings", {})
    return {
        **{name: run[name] for name in _FIRST},
        **run.get("scores", {}),
        **{
            f"{name}_ci95_{end}": both[at]
            for name, both in run.get("ci95", {}).items()
            for at, end in enumerate(("low", "high"))
        },
        **{f"{name}_macro": value for name, value in run.get("macro", {}).items()},
        **{name: round(value, _DIGITS) if isinstance(value, float) else value for name, value in rank_group.items()},
        **latency,
        **timings,
        "evaluation_time": run["seconds"],
        "embed_dim": run.get("embed_dim"),
        "bytes_per_vector": run.get("bytes_per_vector"),
        "n_parameters": run.get("n_parameters"),
        "mflops": None if run.get("flops") is None else run["flops"] / 1e6,
        "peak_embed_mb": run.get("peak_embed_mb"),
        "trained": run.get("trained"),
        "uses_labels": run.get("uses_labels"),
        "baseline": run.get("baseline"),
        "seen_classes": run.get("data", {}).get("seen_classes"),
        "flags": (*run.get("flags", []), *alarmed),
        "deviations": tuple(f"{name} {plain(value)}" for name, value in run.get("deviations", {}).items()),
        "reason": run.get("reason", ""),
        "key": run["key"],
        "options": json.dumps(spec["options"], sort_keys=True),
        "budget": json.dumps(spec["budget"], sort_keys=True),
        "data": json.dumps(spec.get("data", {}), sort_keys=True),
        "engine": spec.get("engine", "torch"),
        **_leaks(run),
        "dataset_revision": spec["fingerprint"],
        "device": made_by["device"],
        "threads": made_by["threads"],
        "cpu": made_by["cpu"],
        "gpu": made_by["gpu"],
        "ram_gib": made_by["ram_gib"],
        "torch": made_by["packages"]["torch"],
        "simbench": made_by["simbench"],
        "commit": made_by["commit"],
        "dirty": made_by["dirty"],
        "date": made_by["date"],
        "command": without_folders(made_by["command"]),
    }


def without_folders(command: str) -> str:
    """Return a command line with each absolute path cut to its last part: tables are published, folders are private."""
    quoted = re.sub(r"""(['"])([^'"=]*=)?/[^'"]*/([^'"/]+)\1""", r"\1\2\3\1", command)  # there may be spaces in these
    return re.sub(r"(?<![\w.~])(?:/[^\s/=]+)+/([^\s/]+)", r"\1", quoted)


def _leaks(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return how many images to test on have a copy in train; empty where a run was not audited."""
    audit = run.get("data", {}).get("audit")
    if audit is None:
        return {"leaked_queries": None, "leaked_gallery": None, "leaks": ()}
    found = {leak["part"]: leak for leak in audit["leaks"]}
    counts = {part: found[part]["exact"] + found[part]["near"] if part in found else 0 for part in ("query", "gallery")}
    told = [
        f"{counts[part]:,} of {leak['images']:,} {part} images have a copy in train ({leak['exact']:,} exact, "
        f"{leak['near']:,} near)"
        for part, leak in found.items()
    ]
    return {
        "leaked_queries": counts["query"],
        "leaked_gallery": counts["gallery"],
        "leaks": tuple(told),
    }
