"""What a client may ask of the server, and how a request is refused that asks for more."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bench.contract import DataError

_SIMILARITY = re.compile(r"-?(?:[01](?:\.[0-9]{0,9})?|\.[0-9]{1,9})")
_DIGITS = re.compile(r"[0-9]{1,9}")  # not \d, which takes other scripts' digits; not more, which int() refuses


@dataclass(frozen=True)
class Limits:
    """Bytes of one picture, its pixels, bytes of memory a decoding process may have, and seconds.

    upload_seconds: for a request's whole body; decode_seconds: for one picture; uploads: bodies that are read and
    decoded at a time, which bounds the memory they take together (``uploads`` x 2 x ``picture_bytes``); wait_seconds:
    for one of these places; decoder_wait_seconds: for a process that decodes, after which the answer is 503.
    """

    picture_bytes: int = 16_000_000
    pixels: int = 50_000_000
    decoder_bytes: int = 1 << 30
    upload_seconds: float = 20.0
    decode_seconds: float = 10.0
    uploads: int = 32
    wait_seconds: float = 2.0
    decoder_wait_seconds: float = 10.0
    neighbours: int = 50
    steps: int = 50

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value <= 0:
                raise DataError(f"the limit {name} must be above 0, got {value}")


class RefusalError(Exception):
    """A request is refused. status: 4xx, or 503 where only now; the message is one line for whoever asked."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def whole_number(text: str, name: str, *, least: int = 0, below: int, status: int = 400) -> int:
    """Return the whole number that a client wrote. Raises RefusalError unless it is one in [least, below)."""
    if not _DIGITS.fullmatch(text) or not least <= int(text) < below:
        raise RefusalError(status, f"{name} must be a whole number from {least} to {below - 1}")
    return int(text)


def number_among(words: Mapping[str, str], name: str, *, least: int = 0, below: int, default: int | None = None) -> int:
    """Return the whole number of that name. Raises RefusalError for a wrong one, or none where there is no default."""
    if name not in words:
        if default is None:
            raise RefusalError(400, f"{name} is missing")
        return default
    return whole_number(words[name], name, least=least, below=below)


def similarity_among(words: Mapping[str, str], name: str) -> float | None:
    """Return the similarity of that name, None where it is not given or empty. Raises RefusalError for a wrong one."""
    text = words.get(name, "")
    if text and (not _SIMILARITY.fullmatch(text) or not -1 <= float(text) <= 1):
        raise RefusalError(400, f"{name} must be a similarity from -1 to 1, such as 0.8")
    return float(text) if text else None


PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
RETRY_SECONDS = 5  # that a client is told to wait after a 503
POLICY_HEADERS = {
    "content-security-policy": PAGE_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
_SCRIPT = re.compile(rb"<script(?:\s[^>]*)?>(.*?)</script>", re.DOTALL)


class Guard:
    """Refuses requests to another name than the server's, and those that another site makes a browser send.

    hosts: names that the server is asked by, None for any. Without this, a page of any site could ask a server on its
    reader's own machine, by a name of that site that is made to point there (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str] | None) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        begun = False

        async def guarded(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                for name, value in POLICY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        reason = self._objection(scope["method"], Headers(scope=scope))
        if reason is not None:
            await JSONResponse({"error": reason}, status_code=403)(scope, receive, guarded)
            return
        try:
            await self._app(scope, receive, guarded)
        except asyncio.CancelledError:  # the server was told to stop, and its patience is over
            if begun:
                return  # the connection is closed with half an answer, which its reader notices
            await JSONResponse({"error": "the server is stopping"}, status_code=503)(scope, receive, guarded)

    def _objection(self, method: str, headers: Headers) -> str | None:
        host = headers.get("host", "")
        if self._hosts is not None and _name_of(host) not in self._hosts:
            return "this server is not asked by that name"
        origin = headers.get("origin")
        if method not in ("GET", "HEAD") and origin is not None and origin.partition("://")[2] != host:
            return "another site may not ask this server"
        return None


def report_policy(page: bytes) -> str:
    """Return the policy for the report, one file with its own style and scripts: these scripts run, and no others."""
    digests = [base64.b64encode(hashlib.sha256(script).digest()).decode() for script in _SCRIPT.findall(page)]
    scripts = " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )


def _name_of(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
