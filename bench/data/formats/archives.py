"""Zip and tar files of data sets: read in memory, or unpacked into the cache; never a byte outside of it.

Refused, the whole archive, whatever else is in it: members with ``..``, absolute paths or drive letters, links and
devices, encryption, more bytes than announced or than the disk has.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO

from bench.contract import DataError
from bench.data.decoding.cache import EXTRACTED
from bench.naming import readable

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2")
PIECE = 1 << 20
SPARE = 1 << 28  # bytes that unpacking leaves on the disk
DAMAGED = (tarfile.TarError, zipfile.BadZipFile, zlib.error, LZMAError, EOFError, OSError, ValueError, RuntimeError)


@dataclass(frozen=True)
class Member:
    """One regular file of an archive; path: checked to stay inside; open: gives its bytes, until the next member."""

    path: PurePosixPath
    size: int
    open: Callable[[], IO[bytes]]


def is_archive(path: Path) -> bool:
    """Whether a file's name is one of an archive that can be read here."""
    return path.name.lower().endswith(SUFFIXES)


def members(path: Path) -> Iterator[Member]:
    """Yield the regular files of a zip or tar file, in its order. Raises DataError for one to be refused."""
    try:
        if path.name.lower().endswith(".zip"):
            yield from _zip_members(path)
        else:
            yield from _tar_members(path)
    except NotImplementedError as error:
        raise DataError(f"{path}: {error}; unpack it yourself and give the folder") from error
    except DAMAGED as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise DataError(
            f"{path}: a damaged archive ({' '.join(reason.split())}); delete it and get it again"
        ) from error


def read_members(path: Path, wanted: Iterable[str]) -> dict[str, bytes]:
    """Return the content of the members with these file names, whatever folder of the archive they are in.

    Raises DataError for a damaged or refused archive, and one that lacks a name.
    """
    missing, found = set(wanted), dict[str, bytes]()
    for member in members(path):
        name = member.path.name
        if name in missing:
            with _reading(path), member.open() as file:
                found[name] = file.read(member.size + 1)
            missing.discard(name)
            if not missing:
                return found
    raise DataError(f"{path}: lacks {', '.join(sorted(missing))} (another data set's archive, or not the whole one)")


def unpack_archive(path: Path, cache: Path, keep: Callable[[PurePosixPath], bool]) -> Path:
    """Unpack the members to ``keep`` into the cache, once, and return the folder they are in."""
    try:
        about = path.stat()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    facts = os.fsencode(path.resolve()) + f"\0{about.st_size}\0{about.st_mtime_ns}".encode()
    with fresh_folder(cache, f"{path.name.partition('.')[0]}-{hashlib.sha256(facts).hexdigest()[:16]}") as (
        folder,
        new,
    ):
        if new is not None:
            room = shutil.disk_usage(new).free - SPARE
            for member in members(path):
                if not keep(member.path):
                    continue
                room -= member.size
                if room < 0:
                    raise DataError(f"{path}: more to unpack than {cache} has room for")
                _write(path, member, new)
    return folder


@contextmanager
def fresh_folder(cache: Path, name: str) -> Iterator[tuple[Path, Path | None]]:
    """Give the folder ``name`` of what is unpacked, and, where it is not there yet, a new one to write into.

    The new one is moved to its place if that ends well, and removed if not: what is there is whole.
    """
    folder = cache / EXTRACTED / name
    if folder.is_dir():
        yield folder, None
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder.parent}: the cache cannot be written ({error.strerror or error})") from error
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{name}-partial-") as partial:
        inner = Path(partial) / "whole"
        inner.mkdir()
        yield folder, inner
        try:
            inner.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster, with the same files
                raise


def _write(archive: Path, member: Member, folder: Path) -> None:
    target = folder.joinpath(*member.path.parts)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            for piece in _pieces(archive, member):
                file.write(piece)
    except FileExistsError:
        raise DataError(f"{archive}: holds {readable(str(member.path))} twice") from None
    except OSError as error:  # of our disk: those of the archive are told apart below
        reason = error.strerror or error
        raise DataError(f"{archive}: {readable(str(member.path))} cannot be written to {folder} ({reason})") from error


def _pieces(archive: Path, member: Member) -> Iterator[bytes]:
    left = member.size
    with _reading(archive), member.open() as source:
        while piece := source.read(PIECE):
            left -= len(piece)
            if left < 0:
                raise DataError(f"{archive}: {readable(str(member.path))} is longer than it announces")
            yield piece


@contextmanager
def _reading(archive: Path) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except DAMAGED as error:
        raise DataError(f"{archive}: a damaged archive ({error}); delete it and get it again") from error


def _inside(path: Path, name: str) -> PurePosixPath:
    """Return a member's path, of which is sure that it stays below the folder it is unpacked in."""
    inner = PurePosixPath(name.replace("\\", "/"))
    drive = ":" in name if os.name == "nt" else re.match(r"^[A-Za-z]:", name)  # there it also names hidden streams
    if inner.is_absolute() or ".." in inner.parts or drive or "\0" in name or not inner.parts:
        raise DataError(f"{path}: refused, its member {readable(name)!r} would be written outside of its folder")
    return inner


def _zip_members(path: Path) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        listed = archive.infolist()
        for info in listed:  # all of them before the first is read
            _inside(path, info.orig_filename)
            _inside(path, info.filename)
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise DataError(f"{path}: refused, its member {readable(info.filename)!r} is a link or a device")
            if info.flag_bits & 1:
                raise DataError(f"{path}: its members are encrypted; unpack it yourself and give the folder")
        for info in listed:
            if not info.is_dir():
                yield Member(_inside(path, info.filename), info.file_size, lambda info=info: archive.open(info))  # type: ignore[misc] # mypy cannot infer a lambda's default


def _tar_members(path: Path) -> Iterator[Member]:
    with tarfile.open(path, "r|*") as archive:
        for info in archive:
            inner = _inside(path, info.name) if info.name not in (".", "./") else None
            if info.isdir():
                continue
            if not info.isreg() or inner is None:
                raise DataError(f"{path}: refused, its member {readable(info.name)!r} is a link or a device")
            yield Member(inner, info.size, lambda info=info: archive.extractfile(info) or io.BytesIO())  # type: ignore[misc] # mypy cannot infer a lambda's default
