"""The files that the site consists of: the page, its scripts and style, the report and its figures."""

from __future__ import annotations

import asyncio
from importlib import resources
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from bench.serve.limits import RefusalError, report_policy

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
