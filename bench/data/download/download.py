"""Get a published data set: from where it lies, or from the first mirror that gives the published bytes."""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import queue
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from bench.contract import DataError, DataPlace
from bench.data.download.sources import Upstream, UpstreamFile, find, incomplete

logger = logging.getLogger(__name__)

TIMEOUT = 20.0  # seconds until a mirror must answer, and between two pieces of an answer
PIECE = 1 << 18  # bytes read at a time: 0.25 MiB, about a hundred steps of a progress bar for the largest file

Opened = http.client.HTTPResponse | Exception


def provide(upstream: Upstream, place: DataPlace, mirrors: Callable[[], Sequence[str]]) -> dict[str, Path]:
    """Return where each file lies, downloading into ``place.cache`` what lies nowhere, if ``place.download`` allows it.

    mirrors: gives base addresses that end in a slash; called only when a download begins. What is found is not yet
    checked: `bench.data.download.sources.read_checked` does that as it reads.
    Raises DataError that names every way to provide the files.
    """
    found = find(upstream, place)
    if found is not None:
        return found
    if not place.download:
        raise DataError(_how_to_provide(upstream, place, "downloading is switched off"))
    try:
        _download(upstream, place, mirrors())
    except OSError as error:
        raise DataError(_how_to_provide(upstream, place, f"the download failed: {error}")) from error
    found = find(upstream, place)
    if found is None:
        raise DataError(_how_to_provide(upstream, place, "the download vanished while it was being put in place"))
    return found


def _download(upstream: Upstream, place: DataPlace, mirrors: Sequence[str]) -> None:
    """Download into a temporary folder, check, and only then move into place; what is there is complete files only."""
    place.cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.cache, prefix=f"{upstream.dataset}-partial-") as partial:
        for file in upstream.files:
            _from_any_mirror(file, mirrors, place, Path(partial) / file.published)
        folder = place.cache / upstream.layouts[0]
        folder.mkdir(parents=True, exist_ok=True)
        for file in upstream.files:
            os.replace(Path(partial) / file.published, folder / file.published)


def _from_any_mirror(file: UpstreamFile, mirrors: Sequence[str], place: DataPlace, target: Path) -> None:
    failures = []
    for mirror in mirrors:
        url = f"{mirror}{file.published}"
        try:
            md5 = download(url, place, target)
        except (OSError, http.client.HTTPException, ValueError) as error:
            failures.append(f"{url}: {error}")
        else:
            if md5 == file.md5:
                return
            failures.append(f"{url}: gave {target.stat().st_size} bytes that are not the published ones")
        logger.warning("%s", failures[-1])
    raise OSError("; ".join(failures) or "no mirror is known")


def download(url: str, place: DataPlace, target: Path) -> str:
    """Write what lies at an address into a file, piece by piece, and return its md5.

    Raises OSError, HTTPException or ValueError, each with the reason alone.
    """
    if not url.startswith(("http://", "https://")):
        raise ValueError("neither http nor https")
    digest = hashlib.md5(usedforsecurity=False)
    with _open(url) as response, target.open("wb") as file:
        size = int(response.headers.get("Content-Length") or 0)
        pieces: Iterable[bytes] = iter(lambda: response.read(PIECE), b"")
        if place.progress is not None:
            pieces = place.progress(pieces, total=-(-size // PIECE), what=f"downloading {target.name}")
        for piece in pieces:
            digest.update(piece)
            file.write(piece)
        if response.length:
            raise OSError(f"the connection ended {response.length} bytes early")
    return digest.hexdigest()


def _open(url: str) -> http.client.HTTPResponse:
    """Open an address within TIMEOUT in all; the standard library alone waits that long for each address of a host."""
    answer: queue.SimpleQueue[Opened] = queue.SimpleQueue()

    def open_it() -> None:
        try:
            answer.put(urllib.request.urlopen(url, timeout=TIMEOUT))  # noqa: S310 - _get let only http and https through
        except Exception as error:  # handed over, and raised there
            answer.put(error)

    threading.Thread(target=open_it, daemon=True).start()
    try:
        opened = answer.get(timeout=TIMEOUT)
    except queue.Empty:
        raise TimeoutError(f"no answer within {TIMEOUT:g} s") from None
    if isinstance(opened, urllib.error.HTTPError):
        opened.close()  # it is a response as well
    if isinstance(opened, Exception):
        raise opened
    return opened


def _how_to_provide(upstream: Upstream, place: DataPlace, why: str) -> str:
    looked = list(dict.fromkeys(str(base) for base in (place.root, place.cache, *upstream.distribution) if base))
    ways = [
        f"run `simbench fetch {upstream.dataset}` with a network",
        f"put {', '.join(file.published for file in upstream.files)}, downloaded on a machine that has one, into a "
        "folder and name it with --data-root or SIMBENCH_DATA",
    ]
    if upstream.package:
        ways.append(f"`apt-get install {upstream.package}` on Debian or Ubuntu")
    partly = incomplete(upstream, place)
    remark = f" ({partly})" if partly else ""
    return f"{upstream.dataset}: not found under {', '.join(looked)}{remark}, and {why}. Do one of: {'; '.join(ways)}"
