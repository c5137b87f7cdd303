"""Where the files of a published data set lie, and whether they are what was published."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.contract import DataError, DataPlace
from bench.data.formats.archives import GZIP_MAGIC, read_raw, unpack

logger = logging.getLogger(__name__)


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
