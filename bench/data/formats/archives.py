"""Zip, tar and gzip files of data sets: read in memory, or unpacked into the cache; never a byte outside of it.

Refused, the whole archive, whatever else is in it: members with ``..``, absolute paths or drive letters, links and
devices, encryption, more bytes than announced or than the disk has.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import logging
import os
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO

from bench.contract import DataError
from bench.data.decoding.cache import ENTRY, EXTRACTED, SUMS, problem_of_sums, write_sums
from bench.files import making_once
from bench.naming import readable, shortened

logger = logging.getLogger(__name__)

GZIP_MAGIC = b"\x1f\x8b"
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
    with _reading(path):
        yield from _zip_members(path) if path.name.lower().endswith(".zip") else _tar_members(path)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Say in the user's words what is wrong with an archive that cannot be read."""
    try:
        yield
    except NotImplementedError as error:  # zipfile: a kind of compression that it does not know
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
                found[name] = file.read()
            missing.discard(name)
            if not missing:
                return found
    raise DataError(f"{path}: lacks {', '.join(sorted(missing))} (another data set's archive, or not the whole one)")


def git_tree(path: Path) -> str:
    """Return what ``git rev-parse COMMIT^{tree}`` says of the files below an archive's top folder, 40 hex digits.

    It is of their names and contents, however they are packed. All are taken for plain files, none for executable.
    Source: https://git-scm.com/book/en/v2/Git-Internals-Git-Objects
    """
    files = {}
    for member in members(path):
        blob = hashlib.sha1(b"blob %d\0" % member.size, usedforsecurity=False)  # git's choice, not ours
        for piece in _pieces(path, member):
            blob.update(piece)
        files[tuple(map(os.fsencode, member.path.parts[1:]))] = blob.digest()
    return _tree_digest(files).hex()


def _tree_digest(files: Mapping[tuple[bytes, ...], bytes]) -> bytes:
    """Return git's digest of a folder. files: the digest of each file below it by the parts of its path."""
    entries = dict[bytes, bytes]()
    folders = defaultdict[bytes, dict[tuple[bytes, ...], bytes]](dict)
    for (first, *rest), digest in files.items():
        if rest:
            folders[first + b"/"][tuple(rest)] = digest  # git sorts a folder's name as if it ended so
        else:
            entries[first] = b"100644 %s\0%s" % (first, digest)
    for name, inner in folders.items():
        entries[name] = b"40000 %s\0%s" % (name[:-1], _tree_digest(inner))
    listed = b"".join(entries[name] for name in sorted(entries))
    return hashlib.sha1(b"tree %d\0%s" % (len(listed), listed), usedforsecurity=False).digest()


def unpack_archive(path: Path, cache: Path, keep: Callable[[PurePosixPath], bool]) -> Path:
    """Unpack the members to ``keep`` into the cache, once, and return the folder they are in.

    What is there already is compared with the checksums that were taken when it was unpacked, once a process, and
    unpacked again, with a warning, where it differs.
    """
    try:
        about = path.stat()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    facts = os.fsencode(path.resolve()) + f"\0{about.st_size}\0{about.st_mtime_ns}".encode()
    name = f"{shortened(path.name.partition('.')[0])}-{hashlib.sha256(facts).hexdigest()[:16]}"
    for _ in range(2):  # again where what lies there is damaged
        with extracted_folder(cache, name, proof=f"{SUMS}/{ENTRY}") as (folder, new):
            if new is not None:
                _unpack_into(new, path, cache, keep)
        if folder in _verified or not (problem := problem_of_sums(folder)):
            _verified.add(folder)
            return folder
        logger.warning("%s: a damaged cache entry (%s), unpacking %s again", folder, problem, path)
        shutil.rmtree(folder, ignore_errors=True)
    raise DataError(f"{folder}: files cannot be read back after they were unpacked; look at the disk")


_verified: set[Path] = set()  # folders that were unpacked, or found as they were unpacked, by this process


def _unpack_into(folder: Path, path: Path, cache: Path, keep: Callable[[PurePosixPath], bool]) -> None:
    room = shutil.disk_usage(folder).free - SPARE
    for member in members(path):
        if not keep(member.path):
            continue
        room -= member.size
        if room < 0:
            raise DataError(f"{path}: more to unpack than {cache} has room for")
        _write(path, member, folder)
    write_sums(folder, str(path))


@contextmanager
def extracted_folder(cache: Path, name: str, proof: str = ".") -> Iterator[tuple[Path, Path | None]]:
    """Give the folder ``name`` of what is unpacked, and, where that or its ``proof`` is not there, a new one."""
    folder = cache / EXTRACTED / name
    with making_once(folder, proof) as new:
        yield folder, new


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
    with _reading(archive), member.open() as source:  # which never gives more bytes than the archive announces
        yield from iter(partial(source.read, PIECE), b"")


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


def read_raw(path: Path) -> bytes:
    """Return the bytes of a file as they lie there. Raises DataError with the operating system's reason."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def unpack(raw: bytes, path: Path) -> bytes:
    """Return the content of a file: gunzipped where it begins like gzip, whatever its suffix says.

    Raises DataError, naming ``path``, for a gzip stream that is cut off, damaged, or followed by something else.
    """
    if not raw.startswith(GZIP_MAGIC):
        return raw
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: a damaged gzip file ({error}); delete it and download it again") from error
