"""How long the search page takes to answer uploads, alone and under load, and whether its memory grows.

    python tests/speed/serving.py RUN [RUN ...] [--clients 20] [--requests 5000]
    python tests/speed/serving.py RUN --hung-up 32

RUN: folders of finished runs of one data set, which is found by its name. Each client sends a picture, waits for the
last line of the answer, and sends the next. Times are the clients': to the first run's answer and to the last one's.
Memory is that of the server and of its decoding processes together, as Linux has it in /proc. With --hung-up, so many
clients send a picture of 49 megapixels and hang up at once: how long another then waits, and what work is left behind.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import re
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

BOUNDARY = b"simbench-load"
HEAD = (
    "| load | requests | failed | first answer ms: p50, p95, p99 | last answer ms: p50, p95, p99 | requests/s "
    "| server's processor ms a request | server MB before, after |\n|---|---|---|---|---|---|---|---|\n"
)
PICTURES = 500  # different ones, taken from the gallery itself


@dataclass
class Measured:
    """Milliseconds of every request to its first and to its last answer, and what failed."""

    first: list[float] = field(default_factory=list)
    last: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def request_of(picture: bytes) -> bytes:
    body = (
        b"--"
        + BOUNDARY
        + b'\r\nContent-Disposition: form-data; name="picture"; filename="x"\r\n\r\n'
        + picture
        + b"\r\n--"
        + BOUNDARY
        + b"--\r\n"
    )
    head = (
        f"POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY.decode()}\r\n\r\n"
    )
    return head.encode() + body


async def client(port: int, requests: asyncio.Queue[bytes], measured: Measured) -> None:
    """Send requests over one connection until there are no more."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while not requests.empty():
        start = time.perf_counter()
        writer.write(requests.get_nowait())
        got, first = b"", 0.0
        while not got.endswith(b"\r\n0\r\n\r\n"):
            part = await reader.read(65536)
            if not part:
                break
            got += part
            if not first and b'{"run": ' in got:
                first = time.perf_counter()
        if not got.startswith(b"HTTP/1.1 200 ") or b'"error"' in got or not first:
            measured.failed.append(got[:200].decode(errors="replace"))
            return
        measured.first.append((first - start) * 1e3)
        measured.last.append((time.perf_counter() - start) * 1e3)
    writer.close()


async def load(port: int, pictures: list[bytes], clients: int, requests: int) -> Measured:
    waiting: asyncio.Queue[bytes] = asyncio.Queue()
    for number in range(requests):
        waiting.put_nowait(request_of(pictures[number % len(pictures)]))
    measured = Measured()
    await asyncio.gather(*(client(port, waiting, measured) for _ in range(clients)))
    return measured


def memory_mb(root: int) -> float:
    """Return the resident megabytes of a process and its children."""
    found = Path(f"/proc/{root}/task/{root}/children").read_text().split()
    total = 0
    for pid in (str(root), *found):
        said = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        total += int(said[1]) if said else 0
    return total / 1e3


def seconds(root: int) -> float:
    """Return the processor seconds that a process and its children have taken."""
    own = Path(f"/proc/{root}/stat").read_text().rpartition(")")[2].split()
    total = int(own[13]) + int(own[14])  # of children that have ended
    for pid in (str(root), *Path(f"/proc/{root}/task/{root}/children").read_text().split()):
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(words[11]) + int(words[12])
    return total / os.sysconf("SC_CLK_TCK")


def large_picture() -> bytes:
    """Return a PNG of 7,000 x 7,000 pixels, in a few megabytes."""
    values = np.add.outer(np.arange(7000), np.arange(7000)).astype(np.uint8)
    content = io.BytesIO()
    Image.fromarray(np.stack([values, values.T, values[::-1]], axis=2)).save(content, "PNG", compress_level=1)
    return content.getvalue()


async def hang_up(port: int, picture: bytes, clients: int) -> None:
    """Send a picture over many connections, each closed as soon as all is sent."""

    async def one() -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request_of(picture))
        await writer.drain()
        writer.close()

    await asyncio.gather(*(one() for _ in range(clients)))


def measure_hung_up(port: int, server: int, small: bytes, clients: int) -> None:
    """Print what one large picture takes, and what many of them leave behind whose clients have hung up."""
    large = large_picture()
    asyncio.run(load(port, [small], 1, 5))
    for name, work in (
        (f"one answer to a picture of {len(large) / 1e6:.1f} MB", lambda: asyncio.run(load(port, [large], 1, 1))),
        (f"{clients} clients that hang up", lambda: asyncio.run(hang_up(port, large, clients))),
    ):
        before, start = seconds(server), time.perf_counter()
        work()
        sent = time.perf_counter()
        asked = asyncio.run(load(port, [small], 1, 1))
        waited, last = time.perf_counter() - sent, -1.0
        while (spent := seconds(server) - before) > last:
            last = spent
            time.sleep(1.0)
        sys.stdout.write(
            f"{name}: {sent - start:.2f} s; then another client waited {waited:.2f} s ({asked.failed or 'answered'}); "
            f"{spent:.2f} s of processor time in all, none {time.perf_counter() - sent - 1:.0f} s later\n"
        )


def row(name: str, measured: Measured, server: int, before: tuple[float, float], wall: float) -> str:
    first, last = (np.percentile(values or [np.nan], [50, 95, 99]) for values in (measured.first, measured.last))
    memory, spent = before
    count = len(measured.first)
    return (
        f"| {name} | {count:,} | {len(measured.failed)} | {first[0]:.0f}, {first[1]:.0f}, {first[2]:.0f} | "
        f"{last[0]:.0f}, {last[1]:.0f}, {last[2]:.0f} | {count / wall:.0f} | "
        f"{(seconds(server) - spent) / max(count, 1) * 1e3:.1f} | {memory:.0f}, {memory_mb(server):.0f} |\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--hung-up", type=int, metavar="N")
    asked = parser.parse_args()
    words = [word for run in asked.runs for word in ("--run", run)]
    program = [
        sys.executable,
        "-P",
        "-c",
        "import bench.cli; bench.cli.main()",
        "serve",
        "--port",
        "0",
        "--threads",
        "1",
    ]
    with subprocess.Popen([*program, *words], stdout=subprocess.PIPE, text=True) as server:
        said = re.match(r"search page: http://[^:]+:(\d+)/", server.stdout.readline() if server.stdout else "")
        if said is None:
            sys.exit("the server did not start")
        port = int(said[1])
        pictures = [
            urllib.request.urlopen(f"http://127.0.0.1:{port}/pictures/0/{row}").read() for row in range(PICTURES)
        ]
        if asked.hung_up:
            measure_hung_up(port, server.pid, pictures[0], asked.hung_up)
            server.terminate()
            return
        sys.stdout.write(HEAD)
        rounds = (
            ("warm-up", asked.clients, 500),
            ("one client", 1, 200),
            (f"{asked.clients} clients", asked.clients, asked.requests),
        )
        for name, clients, requests in rounds:
            before, start = (memory_mb(server.pid), seconds(server.pid)), time.perf_counter()
            measured = asyncio.run(load(port, pictures, clients, requests))
            sys.stdout.write(row(name, measured, server.pid, before, time.perf_counter() - start))
            sys.stdout.writelines(f"failed: {reason}\n" for reason in measured.failed[:3])
            sys.stdout.flush()
        server.terminate()


if __name__ == "__main__":
    main()
