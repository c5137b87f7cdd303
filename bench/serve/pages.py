"""What the site shows of files: the page, its scripts and style, the report, its figures, and the leaderboard."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from bench.evaluation.metrics.registry import DEFAULT, columns
from bench.serve.limits import RefusalError, report_policy
from bench.serve.shared_gallery import Place

logger = logging.getLogger(__name__)

_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_FIGURES = {".svg": "image/svg+xml", ".png": "image/png"}
_NO_REPORT = "there is no report yet; make one with: simbench report"


def routes(results: Path) -> list[Route]:
    """Return the routes of all files. results: the folder that `simbench report` writes to."""
    files = _static_files()

    async def page(request: Request) -> Response:
        name = request.url.path.lstrip("/") or "index.html"
        content = files.get(name)
        if content is None:
            raise RefusalError(404, "there is no such page")
        return Response(content, media_type=_kind(name))

    async def report(_: Request) -> Response:
        content = await asyncio.to_thread(_read, results / "report.html")
        if content is None:
            raise RefusalError(404, _NO_REPORT)
        return HTMLResponse(content, headers={"content-security-policy": report_policy(content)})

    async def figure(request: Request) -> Response:
        """Answer with the figure of that name: the name is looked for among those there are, never opened."""
        there = await asyncio.to_thread(_figures, results / "figures")
        path = there.get(request.path_params["name"])
        content = None if path is None else await asyncio.to_thread(_read, path)
        if path is None or content is None:
            raise RefusalError(404, "there is no such figure")
        policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
        return Response(content, media_type=_FIGURES[path.suffix], headers={"content-security-policy": policy})

    names = [f"/{name}" for name in files if name != "index.html"]
    return [
        *(Route(name, page) for name in ("/", *names)),
        Route("/report", report),
        Route("/figures/{name}", figure),
    ]


def _static_files() -> dict[str, bytes]:
    folders = (resources.files("bench.serve") / "static", resources.files("bench.look"))
    return {one.name: one.read_bytes() for folder in folders for one in folder.iterdir() if _kind(one.name)}


def _kind(name: str) -> str | None:
    return _KINDS.get(Path(name).suffix)


def _figures(folder: Path) -> dict[str, Path]:
    try:
        return {path.name: path for path in folder.iterdir() if path.suffix in _FIGURES and path.is_file()}
    except OSError:
        return {}


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def read_board(results: Path, place: Place) -> dict[str, Any] | None:
    """Return a gallery's table in the leaderboard as columns and rows, best first, means over seeds.

    results: where `simbench leaderboard` left it, beside the runs; None where it has written none.
    """
    path = results / "leaderboard.json"
    try:
        tables = json.loads(path.read_text(encoding="utf-8"))["tables"]
        own = [one for one in tables if place in _places(one)]
        ranked_by = own[0].get("ranked_by", DEFAULT) if own else DEFAULT
        return _board([row for table in own for row in table["rows"]], ranked_by)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.warning("%s: cannot be read (%s)", path, error)
        return None


def _places(table: Mapping[str, Any]) -> list[Place]:
    """Return which data a table is of: one revision, or one of each draw."""
    revisions = table.get("draw_revisions") or [table["dataset_revision"]]
    return [(table["dataset"], table["protocol"], revision) for revision in revisions]


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
