"""The leaderboard of a gallery's data set and protocol, as `simbench leaderboard` left it in the results folder."""

from __future__ import annotations

import csv
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.app.server.shared_gallery import Place

logger = logging.getLogger(__name__)

FILE = "runs.csv"
# heading, column of the table of runs, which way is better, digits
_COLUMNS = (
    ("map", "map", "up", 3),
    ("map@10", "map@10", "up", 3),
    ("hit@1", "hit@1", "up", 3),
    ("decode cosine", "decode_cosine", "up", 3),
    ("embed ms", "embed_1_median_ms", "down", 2),
    ("search ms", "search_median_ms", "down", 2),
    ("dim", "embed_dim", "down", 0),
)


def read_board(results: Path, place: Place) -> dict[str, Any] | None:
    """Return a table's columns and rows by rank and map, means over seeds; None where no leaderboard is written."""
    path = results / FILE
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return _board([run for run in csv.DictReader(file) if _fits(run, place)])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, csv.Error) as error:
        logger.warning("%s: cannot be read (%s)", path, error)
        return None


def _board(runs: Sequence[dict[str, str]]) -> dict[str, Any]:
    groups: dict[tuple[str, str], list[dict[str, str]]] = {}
    for run in runs:
        groups.setdefault((run["method"], run["key"]), []).append(run)
    methods = [method for method, _ in groups]
    rows = [
        _row(f"{method} ({key})" if methods.count(method) > 1 else method, group)
        for (method, key), group in groups.items()
    ]
    rows.sort(key=lambda row: (row["rank"], -(row["values"][0] or 0.0)))
    shown = [at for at in range(len(_COLUMNS)) if any(row["values"][at] is not None for row in rows)]
    for row in rows:
        row["values"] = [row["values"][at] for at in shown]
    columns = [dict(zip(("heading", "source", "better", "digits"), _COLUMNS[at], strict=True)) for at in shown]
    return {"columns": columns, "rows": rows}


def _fits(run: dict[str, str], place: Place) -> bool:
    here = (run.get("dataset"), run.get("protocol"), run.get("dataset_revision"))
    return run.get("status") == "done" and here == place and "method" in run and "key" in run


def _row(name: str, runs: Sequence[dict[str, str]]) -> dict[str, Any]:
    rank = _mean(runs, "rank")
    values = [_mean(runs, source) for _, source, _, _ in _COLUMNS]
    return {"name": name, "rank": 0 if rank is None else int(rank), "seeds": len(runs), "values": values}


def _mean(runs: Sequence[dict[str, str]], column: str) -> float | None:
    values = [float(run[column]) for run in runs if run.get(column)]
    return sum(values) / len(values) if values else None
