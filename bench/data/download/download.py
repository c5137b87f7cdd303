"""Get a published data set: from where it lies, unpacked or in an archive, or from a mirror; and check what was got."""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import tempfile
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.contract import DataError, DataPlace
from bench.data.decoding.cache import EXTRACTED
from bench.data.formats.archives import GZIP_MAGIC, extracted_folder, read_members, read_raw, unpack
from bench.environment import unreachable

logger = logging.getLogger(__name__)

TIMEOUT = 20.0  # seconds until a mirror must answer, and between two pieces of an answer
PIECE = 1 << 18  # bytes read at a time: 0.25 MiB, about a hundred steps of a progress bar for the largest file


@dataclass(frozen=True)
class UpstreamFile:
    """One published file.

    name: without ``.gz``; md5: of the file as published; sha256: of its decompressed content, which stays the same
    when a distribution compresses it anew, or None where nobody publishes it; suffix: what the published name has
    beyond the name: ``.gz``, or nothing for a file that is read as it is.
    """

    name: str
    md5: str
    sha256: str | None = None
    suffix: str = ".gz"

    @property
    def published(self) -> str:
        """The file's name as published."""
        return f"{self.name}{self.suffix}"


@dataclass(frozen=True)
class Upstream:
    """A published data set.

    layouts: the folders under a data root in which its files may lie, in order of preference (the first one is
    ours); distribution: folders of its own that an operating system's package fills; package: that package's name.
    """

    dataset: str
    files: tuple[UpstreamFile, ...]
    layouts: tuple[str, ...]
    distribution: tuple[Path, ...] = ()
    package: str | None = None


def candidates(upstream: Upstream, place: DataPlace) -> Iterator[Path]:
    """Every folder that may hold the files, best first: the data root, our cache, the distribution's."""
    for base in (place.root, place.cache):
        if base is not None:
            yield from (base / layout for layout in upstream.layouts)
    yield from upstream.distribution


def find(upstream: Upstream, place: DataPlace) -> dict[str, Path] | None:
    """Return the path of every file by its name, from the first folder that holds all of them, or None."""
    for folder in candidates(upstream, place):
        found = _files_in(upstream, folder)
        if len(found) == len(upstream.files):
            return found
    return None


def incomplete(upstream: Upstream, place: DataPlace) -> str:
    """Return a remark on the first folder that holds some of the files but not all, or nothing."""
    for folder in candidates(upstream, place):
        found = _files_in(upstream, folder)
        missing = [file.name for file in upstream.files if file.name not in found]
        if found and missing:
            return f"{folder} lacks {', '.join(missing)}"
    return ""


def read_checked(upstream: Upstream, found: Mapping[str, Path]) -> dict[str, tuple[bytes, Path]]:
    """Read each file once, and return its unpacked content and path by name. Raises DataError for a wrong checksum."""
    return {file.name: (_checked(upstream, file, found[file.name]), found[file.name]) for file in upstream.files}


def is_published(raw: bytes, file: UpstreamFile) -> bool:
    """Whether these bytes are the file exactly as published."""
    return hashlib.md5(raw, usedforsecurity=False).hexdigest() == file.md5


def check_whole(dataset: str, file: UpstreamFile, path: Path) -> None:
    """Compare a file too large for memory with its checksum. Raises DataError where it is not what was published."""
    try:
        with path.open("rb") as opened:
            found = hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    if found != file.md5:
        raise DataError(_not_published(dataset, file, path))


def _files_in(upstream: Upstream, folder: Path) -> dict[str, Path]:
    found = {}
    for file in upstream.files:
        # The plain one first, which needs no gunzip, unless only the published one has a checksum.
        for name in sorted({file.name, file.published}, reverse=file.sha256 is None):
            if (folder / name).is_file():
                found[file.name] = folder / name
                break
    return found


def _checked(upstream: Upstream, file: UpstreamFile, path: Path) -> bytes:
    raw = read_raw(path)
    if not file.suffix:
        if is_published(raw, file):
            return raw
        raise DataError(_not_published(upstream.dataset, file, path))
    gzipped = raw.startswith(GZIP_MAGIC)
    again = f"delete it and run `simbench fetch {upstream.dataset}`"
    if gzipped and is_published(raw, file):
        return unpack(raw, path)
    try:
        content = unpack(raw, path)
    except DataError as error:
        raise DataError(f"{path}: a damaged gzip file ({error.__cause__}); {again}") from error
    if file.sha256 is None:
        if gzipped:
            raise DataError(_not_published(upstream.dataset, file, path))
        logger.warning("%s: nobody publishes a checksum of the unpacked file; only its structure is checked", path)
        return content
    if hashlib.sha256(content).hexdigest() == file.sha256:
        return content
    published = f"its .gz has not the md5 {file.md5} and " if gzipped else ""
    raise DataError(
        f"{path}: not {upstream.dataset}'s {file.name}: {published}its content has not the sha256 {file.sha256} "
        f"(damaged, or another data set's file of the same name); {again}"
    )


def _not_published(dataset: str, file: UpstreamFile, path: Path) -> str:
    return (
        f"{path}: not {dataset}'s {file.published}: it has not the md5 {file.md5} (damaged, cut off, or another data "
        f"set's file of the same name); delete it and run `simbench fetch {dataset}`"
    )


def provide(upstream: Upstream, place: DataPlace, mirrors: Callable[[], Sequence[str]]) -> dict[str, Path]:
    """Return where each file lies, downloading into ``place.cache`` what lies nowhere, if ``place.download`` allows it.

    mirrors: gives base addresses that end in a slash; called only when a download begins. What is found is not yet
    checked: `read_checked` does that as it reads.
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
