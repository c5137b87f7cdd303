"""A request's form, read into memory and into nothing else, within limits of size and time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import python_multipart  # noqa: F401 - Starlette would notice only when the first form comes that it is missing
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from bench.serve.limits import Limits, RefusalError

_WORDS = 10  # fields of text
_WORD_BYTES = 1_000
_FRAMING = 10_000  # bytes of a form beside its pictures
_PATIENCE = 4  # a body so many times too large is read to its end, so that the client gets to see the answer


@dataclass(frozen=True)
class Form:
    """The words and the pictures' bytes that a client sent, by their names."""

    words: dict[str, str]
    pictures: dict[str, bytes]


class _InMemory(MultiPartParser):
    """Starlette's parser, which would put larger files into the temporary folder."""

    spool_max_size = 1 << 40


async def read_form(request: Request, limits: Limits, *, pictures: int) -> Form:
    """Return a multipart form with at most so many pictures.

    Raises RefusalError: 415 for another kind of body, 413 for one that is too large, 408 for one that takes too long,
    400 for one that is damaged.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise RefusalError(415, "send a form: multipart/form-data")
    most = pictures * limits.picture_bytes + _FRAMING
    parser = _InMemory(
        request.headers,
        _body(request, most, limits),
        max_files=pictures,
        max_fields=_WORDS,
        max_part_size=_WORD_BYTES,
    )
    try:
        async with asyncio.timeout(limits.upload_seconds):
            form = await parser.parse()
    except TimeoutError:
        raise RefusalError(408, f"the request took longer than {limits.upload_seconds:g} s to arrive") from None
    except ClientDisconnect:
        raise RefusalError(400, "the request ended before its body did") from None
    except (MultiPartException, ValueError) as error:
        said = error.message if isinstance(error, MultiPartException) else "damaged"
        raise RefusalError(400, f"the form cannot be read: {said}") from None
    try:
        return await _sorted(form.multi_items(), limits)
    finally:
        await form.close()


async def _body(request: Request, most: int, limits: Limits) -> AsyncGenerator[bytes, None]:
    """Yield a body's chunks; of one that is too large no more is kept, but some of it still read."""
    too_large = RefusalError(413, f"a picture may have {limits.picture_bytes / 1e6:g} MB")
    announced = request.headers.get("content-length", "0")
    if len(announced) > 12 or int(announced) > _PATIENCE * most:  # h11 let only digits pass
        raise too_large
    seen = 0
    async for chunk in request.stream():
        seen += len(chunk)
        if seen > _PATIENCE * most:
            break
        if seen <= most:
            yield chunk
    if seen > most:
        raise too_large


async def _sorted(items: list[tuple[str, UploadFile | str]], limits: Limits) -> Form:
    words: dict[str, str] = {}
    pictures: dict[str, bytes] = {}
    for name, value in items:
        if name in words or name in pictures:
            raise RefusalError(400, "the form has two fields of one name")
        if isinstance(value, str):
            words[name] = value
            continue
        data = await value.read()
        if len(data) > limits.picture_bytes:
            raise RefusalError(413, f"a picture may have {limits.picture_bytes / 1e6:g} MB")
        pictures[name] = data
    return Form(words, pictures)
