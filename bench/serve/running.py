"""The server as a process: its socket, its patience with connections, and its end."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

import h11
import uvicorn
from starlette.responses import JSONResponse
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from bench.contract import SimbenchError
from bench.environment import blas_threads
from bench.serve.limits import POLICY_HEADERS, RETRY_SECONDS

_HEADER_SECONDS = 10  # that a new connection has for its first request's head
_STOP_SECONDS = 5  # that requests under way have when the server is told to stop
# Between the thread of the models and that of the requests: torch gives the interpreter away in every operation, and
# would wait Python's 5 ms for it each time. With 20 clients, this takes a fifth to a third off the waiting times.
_SWITCH_SECONDS = 0.0005
_CONNECTIONS = 256  # beyond which a request gets 503


class _ImpatientProtocol(H11Protocol):
    """HTTP/1.1 that hangs up on a connection whose first request does not come: uvicorn itself would wait for ever."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._served, self._most = self.app, self.limit_concurrency
        self.app, self.limit_concurrency = self._within_limit, None  # uvicorn's own 503 is without our headers

    async def _within_limit(self, scope: Any, receive: Any, send: Any) -> None:
        if self._most is None or (len(self.connections) < self._most and len(self.tasks) <= self._most):
            await self._served(scope, receive, send)
            return
        headers = {**POLICY_HEADERS, "retry-after": str(RETRY_SECONDS), "connection": "close"}
        await JSONResponse({"error": "the server is busy; try again"}, 503, headers)(scope, receive, send)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, which reaches no application, with our headers too."""
        kind = {"content-type": "text/plain; charset=utf-8", "connection": "close"}
        headers = [(name.encode(), value.encode()) for name, value in {**POLICY_HEADERS, **kind}.items()]
        for event in (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=msg.encode("ascii", "replace")),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.loop.call_later(_HEADER_SECONDS, self._expect_request)

    def _expect_request(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            self.transport.close()


class _AnnouncingServer(uvicorn.Server):
    """Says when it can be asked."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._announce()


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens. Raises SimbenchError where that address or port cannot be had."""
    # The protocol has to be named: asyncio sends small parts of an answer at once only where it reads TCP there.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":  # elsewhere this would share the port with another program
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((host, port))
        opened.listen(_CONNECTIONS)
    except (OSError, OverflowError) as error:
        opened.close()
        reason = getattr(error, "strerror", None) or error
        raise SimbenchError(f"cannot listen on {host} port {port}: {reason}; give another --port or --host") from error
    return opened


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def address_of(listening: socket.socket) -> str:
    """Return where a browser finds a listening socket."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def serve(application: ASGIApp, listening: socket.socket, started: Callable[[], None]) -> None:
    """Serve until interrupted or terminated; requests under way may finish, for five seconds.

    Raises SimbenchError where the application cannot start.
    """
    config = uvicorn.Config(
        application,
        http=_ImpatientProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_keep_alive=10,
        timeout_graceful_shutdown=_STOP_SECONDS,
        h11_max_incomplete_event_size=32 * 1024,
    )
    sys.setswitchinterval(_SWITCH_SECONDS)
    # uvicorn stops on these signals, and then sends them again for whoever minds: here nobody has to.
    before = {one: signal.signal(one, lambda *_: None) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        # A search of 10,000 vectors takes .06 ms on one thread, and 20 on two where another program keeps one busy.
        with blas_threads(1):
            _AnnouncingServer(config, started).run(sockets=[listening])
    except SystemExit:
        raise SimbenchError("the server could not start; the lines above say why") from None
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
        listening.close()
