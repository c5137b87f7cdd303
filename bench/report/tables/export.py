"""The leaderboard for programs: every table's rows, failed ones too, as JSON and as one flat CSV."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from bench.contract import DRAW
from bench.evaluation.metrics.metric import Metric
from bench.evaluation.statistics.jackknife import OTHER_CLASSES, THESE_CLASSES
from bench.report.tables.footnotes import made, notes
from bench.report.tables.frame import (
    counted,
    draws_of,
    interval_of,
    mean_over,
    metric_of,
    shown_columns,
    values_of_row,
    without_folders,
)
from bench.report.tables.leaderboard import groups_of, ranked_rows
from bench.report.tables.wording import failed_options, row_labels

SCHEMA = 1
_DIGITS = 9  # significant ones: what a sum in another order may change lies far behind them


def as_json(frame: pd.DataFrame, overall: Mapping[str, Any]) -> dict[str, Any]:
    """Return the leaderboard as one JSON object. frame: the table of runs; overall: what is said of all tables."""
    return {
        "schema": SCHEMA,
        "tables": [_table(title, group) for title, group in groups_of(frame)],
        "overall": rounded(overall),
    }


def as_rows(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the tables of ``as_json`` as flat rows: a finished row, or a failed run with its reason, each."""
    flat = []
    for table in content["tables"]:
        shared = ("dataset", "protocol", "dataset_revision", "queries", "queries_scored")
        where = {name: table[name] for name in shared}
        for row in table["rows"]:
            names = ("name", "method", "rank", "tied_with_best")
            line = {**where, "status": "done", **{name: row[name] for name in names}}
            for metric, value in row["values"].items():
                line[metric] = value
                ends = row["ci95"].get(metric, [None, None])
                if metric in row["ci95"]:
                    line |= {f"{metric}_ci95_low": ends[0], f"{metric}_ci95_high": ends[1]}
            line |= {"seeds": " ".join(map(str, row["seeds"])), "draws": " ".join(row["draws"]), "runs": row["runs"]}
            line |= {"input": row["input"], "notes": row["notes"], "reason": ""}
            flat.append(line | _identity(row))
        for run in table["failed"]:
            line = {**where, "status": "failed", "name": run["name"], "method": run["method"], "seeds": run["seed"]}
            flat.append({**line, "reason": run["reason"]} | _identity(run))
    return flat


def rounded(value: Any) -> Any:
    """Return a value with its floats cut to nine significant digits, so that another machine writes the same file."""
    if isinstance(value, Mapping):
        return {str(name): rounded(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(inner) for inner in value]
    if isinstance(value, float) and math.isfinite(value):
        return float(f"{value:.{_DIGITS}g}")
    return value


def _table(title: str, group: pd.DataFrame) -> dict[str, Any]:
    first = group.iloc[0]
    labels = row_labels(group[group["status"] == "done"])
    return {
        "title": title,
        "dataset": str(first["dataset"]),
        "protocol": str(first["protocol"]),
        "dataset_revision": str(first["dataset_revision"]),
        "draw_revisions": _draw_revisions(group),
        "queries": _whole(group["queries"]),
        "queries_scored": _whole(group["queries_scored"]),
        "ranked_by": metric_of(group).name,
        "rows": [_row(labels[kind], kind, runs) for kind, runs in ranked_rows(group)],
        "failed": [_failed(run, group) for _, run in group[group["status"] != "done"].iterrows()],
        "rank_note": "; ".join(sorted({text for text in group["rank_note"] if text})),
        "leaks": sorted({"; ".join(texts) for texts in group["leaks"] if texts}),
        "made": made(group),
    }


def _whole(counts: pd.Series) -> int | None:
    """Return the count that a table's runs share, None where no run has it."""
    known = counts.dropna()
    return None if known.empty else int(known.iloc[0])


def _row(name: str, kind: tuple[str, str], runs: pd.DataFrame) -> dict[str, Any]:
    shown = [column for column in shown_columns(runs) if mean_over(runs, column.name) is not None]
    several, varied = draws_of(runs) > 1, _by_seed_or_draw(runs, shown)
    spread = {name: float(values.std(ddof=1)) for name, values in varied.items()}
    return {
        "rank": int(runs["rank"].iloc[0]),
        "tied_with_best": bool(runs["rank"].iloc[0] == 1),
        "name": name,
        "method": kind[0],
        "key": kind[1],
        "seeds": sorted({int(seed) for seed in runs["seed"]}),
        "draws": sorted(set(runs[DRAW]), key=lambda draw: (len(draw), draw)),
        "runs": counted(runs),
        "input": str(runs["input"].iloc[0]),
        "by_draw": rounded({name: dict(values) for name, values in varied.items()}) if several else {},
        "values": rounded({c.name: mean_over(runs, c.name) for c in shown}),
        "sd_of_seeds": rounded(spread) if len(runs) > 1 and not several else {},
        "sd_of_draws": rounded(spread) if several else {},
        "ci95": rounded({c.name: ends for c in shown if (ends := _ends(runs, c.name)) is not None}),
        "interval_of": runs["interval_of"].iloc[0],
        "ci95_of_first_run": {
            THESE_CLASSES: _first_run(runs, shown, "ci95"),
            OTHER_CLASSES: _first_run(runs, shown, "other_classes_ci95"),
        },
        "p_from_best": rounded(mean_over(runs, "p_from_best")),
        "notes": notes(runs),
        **_choices(runs.iloc[0]),
    }


def _first_run(runs: pd.DataFrame, shown: Sequence[Metric], kind: str) -> dict[str, Any]:
    """Return the intervals of one kind that the first run has, by metric."""
    found = {column.name: interval_of(runs, f"{column.name}_{kind}") for column in shown}
    return {name: rounded(ends) for name, ends in found.items() if ends is not None}


def _draw_revisions(group: pd.DataFrame) -> list[str]:
    """Return the revisions of the data of a table's draws, by which its runs name their data; nothing for one draw."""
    return sorted(set(group["revision_of_draw"])) if draws_of(group) > 1 else []


def _by_seed_or_draw(runs: pd.DataFrame, shown: Sequence[Metric]) -> dict[str, pd.Series]:
    """Return what has an interval, for each seed or draw."""
    return {c.name: values_of_row(runs, c.name) for c in shown if c.interval or c == metric_of(runs)}


def _failed(run: pd.Series, group: pd.DataFrame) -> dict[str, Any]:
    varied = failed_options(run, group)
    return {
        "name": f"{run['method']} ({', '.join(varied)})" if varied else str(run["method"]),
        "method": str(run["method"]),
        "key": str(run["key"]),
        "seed": int(run["seed"]),
        "reason": str(run["reason"]),
        **_choices(run),
    }


def _ends(runs: pd.DataFrame, metric: str) -> tuple[float, float] | None:
    """Return an interval over seeds and queries; the run's own where there is one seed and no per-query values."""
    own = interval_of(runs, f"{metric}_ci95") if len(runs) == 1 else None
    return interval_of(runs, f"{metric}_seeds_ci95") or own


def _choices(run: pd.Series) -> dict[str, Any]:
    return {
        "engine": str(run["engine"]),
        "mirror_test": bool(run["mirror_test"]),
        "device": str(run["device"]),
        "options": json.loads(without_folders(run["options"])),
        "budget": json.loads(run["budget"]),
    }


def _identity(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what tells rows of one method apart, each as one cell."""
    texts = {name: json.dumps(row[name], sort_keys=True) for name in ("options", "budget")}
    return {**{name: row[name] for name in ("key", "engine", "mirror_test", "device")}, **texts}
