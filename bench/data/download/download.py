"""Get a published data set: from where it lies, unpacked or in an archive, or from the first mirror that has it."""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import tempfile
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.contract import DataError, DataPlace
from bench.data.decoding.cache import EXTRACTED
from bench.data.download.sources import Upstream, UpstreamFile, find, incomplete, is_published, read_checked
from bench.data.formats.archives import extracted_folder, read_members
from bench.environment import unreachable

logger = logging.getLogger(__name__)

TIMEOUT = 20.0  # seconds until a mirror must answer, and between two pieces of an answer
PIECE = 1 << 18  # bytes read at a time: 0.25 MiB, about a hundred steps of a progress bar for the largest file


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
    obstacle = unreachable(url, TIMEOUT)  # urllib alone waits that long for each address of a host, and for its name
    if obstacle:
        raise OSError(obstacle)
    with urllib.request.urlopen(url, timeout=TIMEOUT) as response, target.open("wb") as file:  # noqa: S310 - see above
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


@dataclass(frozen=True)
class Bundle:
    """One archive and the files in it that are read.

    archive: of one file; folder: what the files are in, in the archive and after unpacking; files: with md5 each.
    keep: put the files into the cache when they are read from the archive, because the archive is much larger.
    """

    archive: Upstream
    folder: str
    files: tuple[UpstreamFile, ...]
    keep: bool = False

    @property
    def unpacked(self) -> Upstream:
        layouts = [*(f"{layout}/{self.folder}" for layout in self.archive.layouts), f"{EXTRACTED}/{self.kept_as}"]
        return replace(self.archive, files=self.files, layouts=tuple(layouts))

    @property
    def kept_as(self) -> str:
        return f"{self.archive.dataset}-{self.folder}"


def fetch_bundle(bundle: Bundle, place: DataPlace, mirrors: Callable[[], Sequence[str]]) -> Path:
    """Return where a bundle lies, after a check of its files: the unpacked folder, or the archive."""
    read_bundle(bundle, place, mirrors)
    found = find(bundle.unpacked, place)
    return next(iter(found.values())).parent if found else next(iter(provide(bundle.archive, place, mirrors).values()))


def read_bundle(
    bundle: Bundle, place: DataPlace, mirrors: Callable[[], Sequence[str]]
) -> dict[str, tuple[bytes, Path]]:
    """Return each file's content, compared with its checksum, and the path to name in errors."""
    unpacked = find(bundle.unpacked, place)
    if unpacked is not None:
        return read_checked(bundle.unpacked, unpacked)
    (archive,) = provide(bundle.archive, place, mirrors).values()
    again = f"delete it and run `simbench fetch {bundle.archive.dataset}`"
    contents = read_members(archive, [file.name for file in bundle.files])
    for file in bundle.files:
        if not is_published(contents[file.name], file):
            raise DataError(
                f"{archive}: its {file.name} has not the md5 {file.md5} (damaged, or another file); {again}"
            )
    if bundle.keep:
        with extracted_folder(place.cache, bundle.kept_as) as (_, new):
            for file in bundle.files:
                if new is not None:
                    (new / file.name).write_bytes(contents[file.name])
    return {name: (content, archive / bundle.folder / name) for name, content in contents.items()}
