"""The leaderboard of a gallery's data set and protocol, as `simbench leaderboard` left it beside the runs."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.serve.shared_gallery import Place

logger = logging.getLogger(__name__)

FILE = "leaderboard.json"
# heading, value's name in the leaderboard, which way is better, digits
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
        tables = json.loads(path.read_text(encoding="utf-8"))["tables"]
        found = [row for table in tables if _place(table) == place for row in table["rows"]]
        return _board(found)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.warning("%s: cannot be read (%s)", path, error)
        return None


def _place(table: Mapping[str, Any]) -> Place:
    return table["dataset"], table["protocol"], table["dataset_revision"]


def _board(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    shown = [column for column in _COLUMNS if any(column[1] in row["values"] for row in found)]
    methods = [row["method"] for row in found]
    rows = [
        {
            "name": f"{row['method']} ({row['key']})" if methods.count(row["method"]) > 1 else row["method"],
            "method": row["method"],
            "key": row["key"],
            "rank": row["rank"],
            "seeds": len(row["seeds"]),
            "values": [row["values"].get(source) for _, source, _, _ in shown],
        }
        for row in sorted(found, key=lambda row: (row["rank"], -row["values"]["map"]))
    ]
    columns = [dict(zip(("heading", "source", "better", "digits"), column, strict=True)) for column in shown]
    return {"columns": columns, "rows": rows}
