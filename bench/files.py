"""Files and folders written whole or not at all: to a temporary name, synced to the disk, then renamed."""

from __future__ import annotations

import csv
import glob
import hashlib
import io
import json
import os
import re
import shutil
import socket
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from bench.contract import SimbenchError, to_jsonable

_NAME, _HOST = 120, 60  # bytes of a name and of the machine's in a temporary one, which may have 255


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to; it takes the place of ``path``, synced to the disk, if nothing was raised."""
    temporary = path.with_name(_own_name(path.name, "tmp"))
    try:
        yield temporary
        with temporary.open("rb+") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    except BaseException:  # an interrupt too must leave no half-written file
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


@contextmanager
def making_once(folder: Path, proof: str = ".") -> Iterator[Path | None]:
    """Yield a new folder to fill, which becomes ``folder`` if nothing was raised; None if that is there already.

    Other processes that want the same wait meanwhile; what a killed one has left half done is thrown away, and so is a
    folder that lacks the file ``proof``. Raises SimbenchError where nothing can be written.
    """
    if (folder / proof).exists():
        yield None
        return
    from filelock import FileLock  # noqa: PLC0415 - reading the store must not cost its start-up

    partial = folder.with_name(f"{folder.name}.partial")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.with_name(f"{folder.name}.lock"))
        lock.acquire()
    except OSError as error:
        raise SimbenchError(f"{folder.parent}: cannot be written to ({error.strerror or error})") from error
    try:
        if (folder / proof).exists():  # made while we waited
            yield None
            return
        for leftover in (partial, folder):
            shutil.rmtree(leftover, ignore_errors=True)
        partial.mkdir()
        yield partial
        partial.rename(folder)
        sync_folder(folder.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        lock.release()


@contextmanager
def making_folder(folder: Path) -> Iterator[Path]:
    """Yield a new folder to fill, which becomes ``folder`` if nothing was raised; else nothing is left of it.

    Raises SimbenchError where something is there already, or nothing can be written.
    """
    if folder.exists():
        raise SimbenchError(f"{folder} is there already; delete it, or give another")
    partial = folder.with_name(_own_name(folder.name, "tmp"))
    try:
        partial.mkdir(parents=True)
        yield partial
        partial.rename(folder)
        sync_folder(folder.parent)
    except OSError as error:
        raise SimbenchError(f"cannot write {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all. Raises SimbenchError in the user's words."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise SimbenchError(f"cannot write {path}: {error.strerror or error}") from error


def ensure_writable(folder: Path, room: int = 0) -> None:
    """Make a folder if it is missing, and raise SimbenchError now, not after hours, if nothing can be written there.

    room: bytes that it must still take.
    """
    probe = folder / _own_name("simbench", "probe")  # others may look at the same moment
    write_bytes(probe, os.urandom(room))
    probe.unlink(missing_ok=True)


def _own_name(name: str, ending: str) -> str:
    """Return a hidden file's name that no other process has, however long this one and the host's are."""
    return f".{_cut(name, _NAME)}.{_host()}.{os.getpid()}.{ending}"


def _cut(name: str, most: int) -> str:
    """Return a name of at most so many bytes: a longer one is cut and gets a checksum of the whole."""
    coded = os.fsencode(name)
    if len(coded) <= most:
        return name
    return f"{coded[: most - 9].decode('utf-8', 'ignore')}-{zlib.crc32(coded):08x}"


def _host() -> str:
    """Return this machine's name as part of a file's, or ``host`` where it has none."""
    return _cut(re.sub(r"[^\w-]+", "-", socket.gethostname()), _HOST) or "host"


def sweep_leftovers(folder: Path) -> None:
    """Take away what processes of this machine that are dead were still writing into a folder when they were killed."""
    for left in folder.glob(f".*.{glob.escape(_host())}.*.tmp"):
        number = left.name.split(".")[-2]
        if number.isdigit() and not _alive(int(number)):
            with suppress(OSError):
                left.unlink()


def _alive(process: int) -> bool:
    if os.name != "posix":  # nobody there can be asked without being ended
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file whole; numbers that are not finite become null."""
    write_bytes(path, (json.dumps(to_jsonable(content), indent=2, allow_nan=False) + "\n").encode())


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write a compressed npz file whole; no array in it may need pickle."""
    write_bytes(path, packed_arrays(arrays))


def packed_arrays(arrays: Mapping[str, Any]) -> bytes:
    """Return a compressed npz file."""
    import numpy as np  # noqa: PLC0415 - reading the store must not cost numpy's start-up

    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def state_of(path: Path) -> tuple[str, int, int, int, int]:
    """Return what changes whenever a file does: where it is, its number on the disk, size and times. Raises OSError."""
    about = path.stat()
    return os.path.abspath(path), about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex; it is read once a process, until it changes. Raises OSError."""
    return _digest_in(*state_of(path))


@lru_cache(maxsize=100_000)
def _digest_in(path: str, *state: int) -> str:
    del state  # with another one it is another file
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_digest(content: Mapping[str, Any]) -> str:
    """Return the SHA-256, in hex, of an object's canonical JSON: names sorted, no blanks, UTF-8.

    Raises ValueError for what JSON cannot hold.
    """
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def digest_of_arrays(facts: Mapping[str, Any], arrays: Mapping[str, Any]) -> str:
    """Return the sha256, in hex, of JSON-able facts and of numpy arrays with their names, dtypes and shapes."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"\0{name}\0{array.dtype.str}{array.shape}\0".encode("utf-8", "surrogatepass"))
        digest.update(array.tobytes() if not array.flags.c_contiguous or not array.size else array.reshape(-1).data)
    return digest.hexdigest()


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a CSV file whole: the union of the rows' names as columns, in order of first appearance."""
    write_bytes(path, packed_rows(rows))


def packed_rows(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Return rows as a CSV file, as ``write_rows`` writes it."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode(errors="backslashreplace")


def sync_folder(folder: Path) -> None:
    """See to it that a rename in a folder is on the disk."""
    if os.name == "posix":  # elsewhere a folder cannot be opened
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
