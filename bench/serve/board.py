"""The leaderboard of a gallery's data set and protocol, as `simbench leaderboard` left it beside the runs."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.evaluation.metrics.registry import DEFAULT, columns
from bench.serve.shared_gallery import Place

logger = logging.getLogger(__name__)

FILE = "leaderboard.json"


def read_board(results: Path, place: Place) -> dict[str, Any] | None:
    """Return a table's columns and rows, best first, means over seeds; None where no leaderboard is written."""
    path = results / FILE
    try:
        tables = json.loads(path.read_text(encoding="utf-8"))["tables"]
        own = [table for table in tables if _place(table) == place]
        ranked_by = own[0].get("ranked_by", DEFAULT) if own else DEFAULT
        return _board([row for table in own for row in table["rows"]], ranked_by)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.warning("%s: cannot be read (%s)", path, error)
        return None


def _place(table: Mapping[str, Any]) -> Place:
    return table["dataset"], table["protocol"], table["dataset_revision"]


def _board(found: Sequence[Mapping[str, Any]], ranked_by: str) -> dict[str, Any]:
    shown = columns({name for row in found for name in row["values"]}, ranked_by, narrow=True)
    methods = [row["method"] for row in found]
    rows = [
        {
            "name": f"{row['method']} ({row['key']})" if methods.count(row["method"]) > 1 else row["method"],
            "method": row["method"],
            "key": row["key"],
            "rank": row["rank"],
            "seeds": len(row["seeds"]),
            "values": [row["values"].get(column.name) for column in shown],
        }
        for row in sorted(found, key=lambda row: row["rank"])  # which the file has by falling score
    ]
    heads = [{"heading": c.heading, "source": c.name, "arrow": c.arrow, "digits": c.digits} for c in shown]
    return {"columns": heads, "rows": rows}
