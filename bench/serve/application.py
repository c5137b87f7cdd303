"""The routes of the search page. No path that a client names is ever opened: what it asks for is known by number."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from bench.contract import SimbenchError, to_jsonable
from bench.serve import answers, pages
from bench.serve.answers import Query
from bench.serve.decoders import Decoders
from bench.serve.limits import RETRY_SECONDS, Guard, Limits, RefusalError, number_among, similarity_among, whole_number
from bench.serve.models import Models, RunFailedError
from bench.serve.own_folder import EVERY_SECONDS, OwnFolder
from bench.serve.shared_gallery import Contestant, SharedGallery
from bench.serve.uploads import Form, read_form

logger = logging.getLogger(__name__)
T = TypeVar("T")
_DECODERS = 2  # processes; decoding a photograph takes longer than a search
_NEIGHBOURS = 8
_STEPS = 25
_MOST_ROWS = 10**9  # of a former version, which may have had more than there are now


@dataclass(frozen=True)
class Site:
    """What is served. hosts: names that the server may be asked by, None for any.

    folder: what the only gallery is, where that is a folder; it is looked at every so many seconds.
    """

    galleries: list[SharedGallery]
    results: Path
    hosts: frozenset[str] | None = None
    limits: Limits = field(default_factory=Limits)
    folder: OwnFolder | None = None
    every: float = EVERY_SECONDS


def build(site: Site) -> ASGIApp:
    """Return the search page as an ASGI application."""
    return Guard(_Server(site).application, site.hosts)


class _Server:
    """The routes' functions, and what they share: decoding processes, the thread of the models, room for uploads."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._room = asyncio.Semaphore(site.limits.uploads)
        self._models = Models()
        self._decoders = Decoders(_DECODERS, site.limits)
        self.application = Starlette(
            routes=[
                Route("/health", self.health),
                Route("/api/galleries", self.galleries),
                Route("/api/leaderboard/{gallery}", self.leaderboard),
                Route("/api/search", self.search, methods=["POST"]),
                Route("/api/compare", self.compare, methods=["POST"]),
                Route("/api/walk", self.walk, methods=["POST"]),
                Route("/pictures/{gallery}/{row}", self.picture),
                *pages.routes(site.results),
            ],
            exception_handlers={RefusalError: _refuse, HTTPException: _refuse, Exception: _fail},
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        watching = None if self._site.folder is None else asyncio.create_task(self._watch(self._site.folder))
        try:
            await self._decoders.start()
            yield
        finally:
            if watching is not None:
                watching.cancel()
            await self._decoders.stop()
            self._models.stop()

    async def _watch(self, folder: OwnFolder) -> None:
        """Serve what the folder becomes. Who asked before gets the answer of before: a gallery is swapped whole."""
        served, told = self._site.galleries, ""
        while True:
            await asyncio.sleep(self._site.every)
            try:
                found = await asyncio.to_thread(folder.renewed, served[0], self._models.wait_for)
            except (SimbenchError, OSError) as error:  # gone, or empty: it is served as it was
                if str(error) != told:  # and not told anew at every look
                    logger.warning("%s: looked at again, but %s", folder.root, error)
                told = str(error)
            except Exception:  # a method may raise anything, and what is served already must stay
                logger.exception("%s: what is new could not be embedded; it is served as it was", folder.root)
            else:
                told = ""
                if found is not None:
                    served[0] = found

    async def health(self, _: Request) -> Response:
        runs = sum(len(gallery.contestants) for gallery in self._site.galleries)
        return JSONResponse({"status": "ok", "galleries": len(self._site.galleries), "runs": runs})

    async def galleries(self, _: Request) -> Response:
        found = [_facts(gallery) for gallery in self._site.galleries]
        return JSONResponse(to_jsonable({"galleries": found, "picture_bytes": self._site.limits.picture_bytes}))

    async def leaderboard(self, request: Request) -> Response:
        gallery = self._gallery(request.path_params["gallery"], status=404)
        board = await asyncio.to_thread(pages.read_board, self._site.results, gallery.place)
        return JSONResponse(to_jsonable({"board": board}))

    async def picture(self, request: Request) -> Response:
        gallery = self._gallery(request.path_params["gallery"], status=404)
        row = _row(gallery, request.path_params["row"], request.query_params.get("v", ""), "the picture", status=404)
        found = await asyncio.to_thread(answers.picture, gallery, row)
        if found is None:
            raise RefusalError(404, "this gallery is served without pictures, or this one is gone")
        # The page asks with the fingerprint in the address, so that a picture may be kept.
        return Response(found[0], media_type=found[1], headers={"cache-control": "private, max-age=86400, immutable"})

    async def search(self, request: Request) -> Response:
        """Answer with a line of JSON for the query, and one for each run as soon as it has answered."""
        form, gallery, (query,) = await self._asked(request, "picture")
        most = self._site.limits.neighbours
        k = number_among(form.words, "k", least=1, below=most + 1, default=_NEIGHBOURS)
        label = number_among(form.words, "label", below=len(gallery.classes)) if form.words.get("label") else None
        question = answers.Question(query, k, label, similarity_among(form.words, "threshold"))

        def answer(contestant: Contestant) -> Awaitable[dict[str, Any]]:
            work = partial(answers.search, gallery, contestant)
            return self._models.together((gallery.place, contestant.name), work, question)

        return self._line_by_line(gallery, form, {"query": answers.describe(gallery, query)}, answer)

    async def compare(self, request: Request) -> Response:
        form, gallery, (first, last) = await self._asked(request, "first", "last")
        compared = partial(answers.compare, first=first, last=last)
        return self._line_by_line(gallery, form, {}, lambda one: self._models.alone(partial(compared, one)))

    async def walk(self, request: Request) -> Response:
        form, gallery, (first, last) = await self._asked(request, "first", "last")
        most = self._site.limits.steps
        steps = number_among(form.words, "steps", least=2, below=most + 1, default=_STEPS)
        walked = partial(answers.walk, first=first, last=last, steps=steps)
        return self._line_by_line(gallery, form, {}, lambda one: self._models.alone(partial(walked, one)), decodes=True)

    async def _asked(self, request: Request, *names: str) -> tuple[Form, SharedGallery, list[Query]]:
        """Read a form with so many pictures, each a file or the number of a gallery item."""
        try:
            async with asyncio.timeout(self._site.limits.wait_seconds):
                await self._room.acquire()
        except TimeoutError:
            raise RefusalError(503, "the server is busy; try again") from None
        try:
            form = await read_form(request, self._site.limits, pictures=len(names))
            gallery = self._gallery(form.words.get("gallery", "0"))
            return form, gallery, await _unless_gone(request, self._queries(form, gallery, names))
        finally:
            self._room.release()

    async def _queries(self, form: Form, gallery: SharedGallery, names: Sequence[str]) -> list[Query]:
        return [await self._query(form, gallery, name) for name in names]

    async def _query(self, form: Form, gallery: SharedGallery, name: str) -> Query:
        if name in form.pictures:
            return Query(await self._decoders.prepare(form.pictures[name], gallery.preparation))
        if name not in form.words:
            raise RefusalError(400, f"{name} is missing")
        number, _, version = form.words[name].partition("@")
        row = _row(gallery, number, version, name)
        return Query(await asyncio.to_thread(answers.pixels_of, gallery, row), row)

    def _line_by_line(
        self,
        gallery: SharedGallery,
        form: Form,
        head: dict[str, Any],
        answer: Callable[[Contestant], Awaitable[dict[str, Any]]],
        *,
        decodes: bool = False,
    ) -> Response:
        """Answer with JSON lines: the head, if there is one, and what each run that was asked for says.

        decodes: only of those that decode.
        """
        runs = gallery.contestants
        chosen = [at for at in self._chosen(form, gallery) if not decodes or runs[at].decodes is not None]

        async def lines() -> AsyncIterator[str]:
            if head:
                yield _line(head)
            for at in chosen:
                try:
                    found = await answer(runs[at])
                except RunFailedError as error:
                    found = {"error": str(error)}
                yield _line({"run": at, **found})

        return StreamingResponse(lines(), media_type="application/x-ndjson")

    def _gallery(self, text: str, *, status: int = 400) -> SharedGallery:
        there = self._site.galleries
        return there[whole_number(text, "gallery", below=len(there), status=status)]

    def _chosen(self, form: Form, gallery: SharedGallery) -> list[int]:
        every = list(range(len(gallery.contestants)))
        words = form.words.get("runs")
        if not words:
            return every
        asked = {whole_number(word, "each of runs", below=len(every)) for word in words.split(",")}
        return [at for at in every if at in asked]


def _row(gallery: SharedGallery, text: str, version: str, name: str, *, status: int = 400) -> int:
    """Return the row of an item by its number in a version. Raises RefusalError for none, 410 for one that is gone."""
    now = version in ("", gallery.version)
    row = gallery.row_in(whole_number(text, name, below=len(gallery) if now else _MOST_ROWS, status=status), version)
    if row is None:
        raise RefusalError(410, "this picture is not in the gallery any more")
    return row


async def _unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Return what the work returns; end it if the client, whose request was read to its end, hangs up meanwhile."""
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_hung_up(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise RefusalError(408, "the client hung up")
        return await task
    finally:
        for one in (task, gone):
            one.cancel()
        await asyncio.wait({task, gone})


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _line(content: dict[str, Any]) -> str:
    """Return a line of JSON, with null for numbers that JSON does not have."""
    return json.dumps(to_jsonable(content), allow_nan=False) + "\n"


def _facts(gallery: SharedGallery) -> dict[str, Any]:
    shape = gallery.preparation.shape
    return {
        "title": gallery.title,
        "size": len(gallery),
        "classes": list(gallery.classes),
        "shape": [shape.height, shape.width, shape.channels],
        "pictures": gallery.images is not None,
        "missing": gallery.missing,
        "version": gallery.version,
        "own": gallery.own,
        "runs": [one.facts() for one in gallery.contestants],
    }


async def _refuse(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        said = {404: "there is no such page", 405: f"{request.method} is not how this is asked"}
        text = said.get(error.status_code, error.detail)
        return JSONResponse({"error": text}, status_code=error.status_code, headers=error.headers)
    status = error.status if isinstance(error, RefusalError) else 400
    later = {"retry-after": str(RETRY_SECONDS)} if status == 503 else None
    return JSONResponse({"error": str(error)}, status_code=status, headers=later)


async def _fail(_: Request, error: Exception) -> Response:
    """Answer for an error of ours: what it is stands in the server's log, which Starlette and uvicorn see to."""
    return JSONResponse({"error": "the server failed over this; its terminal says why"}, status_code=500)
