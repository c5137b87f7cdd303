"""Hostile requests: each gets a 4xx and a reason; none a traceback, a hang or a file, and the next is answered."""

from __future__ import annotations

import io
import socket
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.faults

Png = Callable[[np.ndarray[Any, Any]], bytes]
TRAVERSALS = (
    "../../etc/passwd",
    "/etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "0/../0",
    "-1",
    "1e1",
    "٣",
    "9" * 5000,
    "0x1",
    " 1",
    "",
)


def refused(response: Any) -> str:
    """The reason that a refused request got."""
    assert 400 <= response.status_code < 500, (response.status_code, response.text[:200])
    assert "Traceback" not in response.text
    said = response.json()["error"]
    assert said
    assert "/" not in said.replace("multipart/form-data", "")  # no path of ours
    return str(said)


def form(**fields: str | bytes) -> dict[str, tuple[str | None, str | bytes]]:
    return {name: (None, value) if isinstance(value, str) else ("x", value) for name, value in fields.items()}


def still_answers(client: Any) -> None:
    assert client.post("/api/search", files=form(picture="1")).status_code == 200


@pytest.mark.parametrize("word", TRAVERSALS)
def test_only_small_whole_numbers_are_taken(client: Any, word: str) -> None:
    for name in ("gallery", "k", "label", "runs", "picture"):
        if word == "" and name in ("label", "runs"):
            continue  # these may be left empty
        refused(client.post("/api/search", files=form(**{"picture": "1", name: word})))
    for name in ("gallery", "first", "last", "steps"):
        refused(client.post("/api/walk", files=form(**{"first": "1", "last": "2", name: word})))
        if name != "steps":
            refused(client.post("/api/compare", files=form(**{"first": "1", "last": "2", name: word})))
    still_answers(client)


@pytest.mark.parametrize(
    "path",
    [
        "/pictures/0/../../../etc/passwd",
        "/pictures/0/160",
        "/pictures/1/0",
        "/pictures/%2e%2e/0",
        "/pictures/0/-1",
        "/pictures/0/" + "9" * 5000,
        "/pictures/0/%D9%A3",
        "/api/leaderboard/..%2f..%2fruns",
        "/api/leaderboard/7",
        "/figures/..%2f..%2fserve.py",
        "/figures/../runs.csv",
        "/figures/%00",
        "/static/page.js",
        "/../conftest.py",
        "//etc/passwd",
        "/page.js/..",
        "/index.html%00",
        "/runs/digits",
    ],
)
def test_no_path_leads_anywhere_but_to_the_pages(served: Any, path: str) -> None:
    """Sent byte by byte, as no client library would tidy it up."""
    status, body = raw(served.address, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert status == 404
    assert b"Traceback" not in body
    assert b"root:" not in body


def test_other_methods_and_kinds_of_body_are_refused(client: Any) -> None:
    refused(client.get("/api/search"))
    refused(client.delete("/api/walk"))
    refused(client.post("/api/search", json={"picture": 1}))
    refused(client.post("/api/search", data={"picture": "1"}))
    refused(client.post("/api/search"))
    broken = "multipart/form-data"
    refused(client.post("/api/search", content=b"--x", headers={"content-type": broken}))
    for body in (
        b"",
        b"nothing",
        b"--x\r\n\r\nno name\r\n--x--",
        b'--x\r\nContent-Disposition: form-data; name="picture"\r\n\r\n1',
    ):
        refused(client.post("/api/search", content=body, headers={"content-type": f"{broken}; boundary=x"}))
    refused(client.post("/api/search", files=[("picture", ("a", b"x")), ("picture", ("b", b"x"))]))
    refused(client.post("/api/search", files=form(**{f"field{number}": "1" for number in range(50)})))
    refused(client.post("/api/search", files=form(picture="1" * 100_000)))
    refused(client.post("/api/search", files=form(k="3")))
    still_answers(client)


def test_other_names_and_other_sites_are_refused(client: Any) -> None:
    assert "name" in refused(client.get("/health", headers={"host": "evil.example"}))
    assert "site" in refused(
        client.post("/api/search", files=form(picture="1"), headers={"origin": "http://evil.example"})
    )
    own = str(client.base_url).rstrip("/")
    assert client.post("/api/search", files=form(picture="1"), headers={"origin": own}).status_code == 200


def test_large_bodies_are_refused_by_size_announced_or_not(client: Any) -> None:
    assert "16 MB" in refused(client.post("/api/search", files=form(picture=b"x" * 17_000_000)))

    def endless() -> Any:
        yield b'--x\r\nContent-Disposition: form-data; name="picture"; filename="x"\r\n\r\n'
        for _ in range(20):
            yield b"x" * 1_000_000

    kind = {"content-type": "multipart/form-data; boundary=x"}
    assert "16 MB" in refused(client.post("/api/search", content=endless(), headers=kind))
    still_answers(client)


def test_bombs_are_refused_before_they_unfold(client: Any, png: Png) -> None:
    """A picture of 60,000 x 60,000 pixels in 600 kB, and others that only say they are large."""
    rows = zlib.compress(b"\0" * (60_000 // 8 + 1) * 60_000, 9)
    huge = chunks((b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 1, 0, 0, 0, 0)), (b"IDAT", rows), (b"IEND", b""))
    said = chunks((b"IHDR", struct.pack(">IIBBBBB", 8_000, 8_000, 8, 2, 0, 0, 0)), (b"IDAT", b""), (b"IEND", b""))
    text = zlib.compress(b"a" * 200_000_000, 9)
    plain = png(np.zeros((8, 8), np.uint8))
    wordy = plain[:33] + chunk(b"zTXt", b"Comment\0\0" + text) + plain[33:]
    gif = (
        b"GIF89a"
        + struct.pack("<HHBBB", 65_535, 65_535, 0x80, 0, 0)
        + b"\0" * 6
        + b","
        + struct.pack("<HHHHB", 0, 0, 65_535, 65_535, 0)
        + b"\x02\x02\x4c\x01\x00;"
    )
    for bomb in (huge, said, gif):
        start = time.perf_counter()
        assert "cannot be read" in refused(client.post("/api/search", files=form(picture=bomb)))
        assert time.perf_counter() - start < 10
    assert client.post("/api/search", files=form(picture=wordy)).status_code in (200, 422)
    still_answers(client)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
        b"PK\x03\x04",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff",
    ],
    ids=["empty", "text", "svg", "eps", "zip", "png", "jpeg"],
)
def test_what_is_no_picture_is_refused_with_the_reason(client: Any, content: bytes) -> None:
    assert "cannot be read" in refused(client.post("/api/search", files=form(picture=content)))
    assert "cannot be read" in refused(client.post("/api/compare", files=form(first="1", last=content)))


def test_a_thousand_malformed_pictures_are_refused_or_seen_as_far_as_they_go(client: Any) -> None:
    """Whole formats with bytes changed, cut off or put in; what still decodes may be answered, all else is a 422."""
    rng = np.random.default_rng(7)
    pixels = Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8))
    originals = []
    for kind in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM"):
        buffer = io.BytesIO()
        pixels.save(buffer, kind)
        originals.append(buffer.getvalue())
    seen = {200: 0, 422: 0}
    for number in range(1000):
        data = bytearray(originals[number % len(originals)])
        for at in rng.integers(0, min(len(data), 200), rng.integers(1, 12)):
            data[at] = rng.integers(0, 256)
        if number % 3 == 0:
            del data[int(rng.integers(1, len(data))) :]
        if number % 5 == 0:
            data[10:10] = rng.bytes(50)
        response = client.post("/api/search", files=form(picture=bytes(data), runs="0", k="1"))
        assert response.status_code in seen, response.text[:200]
        assert "Traceback" not in response.text
        seen[response.status_code] += 1
    assert seen[422] > 500
    still_answers(client)


def test_nothing_is_written_whatever_is_sent(client: Any, project: Path, png: Png) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (1500, 1500, 3), dtype=np.uint8)  # 6.7 MB as a file
    before = sorted(path for path in project.rglob("*") if not path.name.startswith("said-"))
    assert client.post("/api/search", files=form(picture=png(noise))).status_code == 200
    refused(client.post("/api/search", files={"picture": ("../../evil.png", b"x" * 5_000_000)}))
    assert sorted(path for path in project.rglob("*") if not path.name.startswith("said-")) == before


def test_broken_http_gets_400_and_a_client_that_hangs_up_harms_nobody(client: Any, served: Any) -> None:
    status, body = raw(served.address, b"GET / HTTP/9.9 nonsense\r\n\r\n")
    assert status == 400
    assert b"Traceback" not in body
    endless = b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 40_000  # more than is kept of a head
    assert raw(served.address, endless)[0] == 400
    head = b"POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    for _ in range(40):  # more than there is room for uploads: none may stay taken
        with connected(served.address) as opened:
            opened.sendall(head + b"Content-Length: 5000\r\n\r\n--x\r\n")
    still_answers(client)


def connected(address: str) -> socket.socket:
    where = urlsplit(address)
    return socket.create_connection((where.hostname, where.port), timeout=30)


def raw(address: str, request: bytes) -> tuple[int, bytes]:
    """Send bytes as they are, and return the status and everything that came."""
    with connected(address) as opened:
        opened.sendall(request)
        got = b""
        while part := opened.recv(65536):
            got += part
    return int(got.split(b" ", 2)[1]), got


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def chunks(*parts: tuple[bytes, bytes]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)
