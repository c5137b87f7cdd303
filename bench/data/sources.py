"""Where the files of a published data set lie, and whether they are what was published."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.contract import DataError, DataPlace
from bench.data.packed import GZIP_MAGIC, read_raw, unpack


@dataclass(frozen=True)
class UpstreamFile:
    """One published file.

    name: without ``.gz``; md5: of the ``.gz`` as published; sha256: of its decompressed content, which stays the same
    when a distribution compresses it anew.
    """

    name: str
    md5: str
    sha256: str


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
    """Whether these bytes are the ``.gz`` exactly as published."""
    return hashlib.md5(raw, usedforsecurity=False).hexdigest() == file.md5


def _files_in(upstream: Upstream, folder: Path) -> dict[str, Path]:
    found = {}
    for file in upstream.files:
        for name in (file.name, f"{file.name}.gz"):  # the plain one first: it needs no gunzip
            if (folder / name).is_file():
                found[file.name] = folder / name
                break
    return found


def _checked(upstream: Upstream, file: UpstreamFile, path: Path) -> bytes:
    raw = read_raw(path)
    gzipped = raw.startswith(GZIP_MAGIC)
    again = f"delete it and run `simbench fetch {upstream.dataset}`"
    if gzipped and is_published(raw, file):
        return unpack(raw, path)
    try:
        content = unpack(raw, path)
    except DataError as error:
        raise DataError(f"{path}: a damaged gzip file ({error.__cause__}); {again}") from error
    if hashlib.sha256(content).hexdigest() == file.sha256:
        return content
    published = f"its .gz has not the md5 {file.md5} and " if gzipped else ""
    raise DataError(
        f"{path}: not {upstream.dataset}'s {file.name}: {published}its content has not the sha256 {file.sha256} "
        f"(damaged, or another data set's file of the same name); {again}"
    )
