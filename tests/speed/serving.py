"""How long the search page takes to answer uploads, alone and under load, and whether its memory grows.

    python tests/speed/serving.py RUN [RUN ...] [--clients 20] [--requests 5000]

RUN: folders of finished runs of one data set, which is found by its name. Each client sends a picture, waits for the
last line of the answer, and sends the next. Times are the clients': to the first run's answer and to the last one's.
Memory is that of the server and of its decoding processes together, as Linux has it in /proc.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

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
    total = 0
    for pid in (str(root), *Path(f"/proc/{root}/task/{root}/children").read_text().split()):
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(words[11]) + int(words[12])
    return total / os.sysconf("SC_CLK_TCK")


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
