"""Decoded images on disk, keyed by the content of the files and by what was made of them.

    decoded/<content>/pixels.npy     uint8 (files, height, width, channels), read as a memory map
    decoded/<content>/entry.json     what it is, a checksum a block, what could not be decoded and why
    decoded/by-files/<files>         the content that these files had: so a second start reads no file
    decoded/under-way/<files>/       what is being decoded, or was when the process ended (`decode_journal`)
    unpacked/<key>/                  image files taken out of a table (`bench.data.formats.parquet`)

An entry is written beside its place and renamed, so that it is whole or absent. What is read is verified once a
process: every block's checksum, the digest of ``entry.json``, and that each file lies where it was written for.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock

from bench.contract import DAMAGED_ARRAYS, DataError
from bench.data.decoding.block import CONTENT_BYTES
from bench.data.decoding.image_source import Crop, Piece, Source
from bench.files import digest_of_arrays, replacing, state_of, sync_folder
from bench.naming import readable, reason_of

if TYPE_CHECKING:
    from bench.contract import Pixels

logger = logging.getLogger(__name__)

DECODED, UNPACKED, BY_FILES, UNDER_WAY = "decoded", "unpacked", "by-files", "under-way"
AUDITS, EXTRACTED, FEATURES, GALLERIES = (
    "audits",
    "extracted",
    "features",
    "galleries",
)  # written by others, looked after here
PACKED_IMAGES = "images.bin"  # of what was taken out of a table
PIXELS, ENTRY = "pixels.npy", "entry.json"
SUMS = ".sums"  # a hidden folder in one that was filled from an archive: its entry.json has every file's checksum


@dataclass(frozen=True)
class Entry:
    """pixels: a read-only map, one row a file; broken: the reason for each row that could not be decoded.

    contents: uint8 ``(files, 16)``, a digest of each file's bytes, the same whatever size they are decoded to; own:
    whether the size is the one that all files had.
    """

    pixels: Pixels
    broken: dict[int, str]
    contents: Pixels
    own: bool


def files_key(sources: Sequence[Source], facts: Mapping[str, object]) -> str:
    """Return the hex digest of which files these are, as they are, and of how they are to be decoded.

    By path, size and both times: of content (which tools can set back) and of status (which nobody can). A file that
    is not there has a key too: the day it comes back, it is another one.
    """
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    containers: dict[str, bytes] = {}
    for named in sources:
        source = named.whole if isinstance(named, Crop) else named
        if isinstance(named, Crop):
            digest.update(f"{named.box}\0".encode())
        if isinstance(source, Piece):
            if source.file not in containers:
                containers[source.file] = _state(source.file)
            digest.update(containers[source.file] + f"{source.start} {source.length}\0".encode())
        else:
            digest.update(_state(source))
    return digest.hexdigest()[:32]


def _state(path: str) -> bytes:
    try:
        about = os.stat(path)
        state = f"\0{about.st_size} {about.st_mtime_ns} {about.st_ctime_ns}\0"
    except (OSError, ValueError) as error:
        state = f"\0{type(error).__name__}\0"
    whole = path if path.startswith("/") else os.path.abspath(path)  # asking for nothing takes a quarter of the time
    return os.fsencode(whole) + state.encode()


@contextmanager
def locked(cache: Path, key: str, *, wait: bool = True) -> Iterator[Path]:
    """Hold what is made of certain files against other processes, and give the folder to work on it in.

    Raises Timeout (of filelock) if another process holds it and ``wait`` is false.
    """
    folder = cache / DECODED / UNDER_WAY
    lock = FileLock(folder / f"{key}.lock")
    try:
        for needed in (folder, cache / DECODED / BY_FILES):
            needed.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=-1 if wait else 0)
    except TimeoutError:
        raise
    except OSError as error:
        raise DataError(f"{folder}: the cache cannot be written ({error.strerror or error})") from error
    try:
        yield folder / key
    finally:
        lock.release()


def find_entry(cache: Path, key: str) -> Entry | None:
    """Return what was made of certain files, or None. Reading it counts as using it."""
    alias = cache / DECODED / BY_FILES / key
    try:
        content = alias.read_text("ascii").strip()
    except (OSError, ValueError):
        return None
    content, _, seal = content.partition(" ")
    if seal != _alias_seal(key, content):  # damaged, or other files' entry
        return None
    folder = cache / DECODED / content
    found = read_entry(folder)
    if found is not None:
        os.utime(folder / ENTRY)
    return found


def read_entry(folder: Path) -> Entry | None:
    """Return an entry, or None if it is not there, damaged, or another's; then it is thrown away."""
    if not folder.is_dir():
        return None
    try:
        facts = read_facts(folder)
        pixels = np.load(folder / PIXELS, mmap_mode="r", allow_pickle=False)
        if list(pixels.shape) != facts["shape"] or pixels.dtype != np.uint8 or not pixels.flags.c_contiguous:
            raise ValueError(f"the pixels are {pixels.dtype} {pixels.shape}")
        _verify_blocks(folder / PIXELS, pixels, facts["blocks"])
        contents = np.frombuffer(bytes.fromhex(facts["contents"]), np.uint8).reshape(len(pixels), CONTENT_BYTES)
        broken = {int(row): str(reason) for row, reason in facts["broken"]}
        return Entry(pixels, broken, contents, bool(facts["own"]))
    except DAMAGED_ARRAYS as error:
        logger.warning("%s: a damaged cache entry, decoding again (%s)", folder, reason_of(error))
        shutil.rmtree(folder, ignore_errors=True)  # who still maps it keeps its pages
        return None


def read_facts(folder: Path) -> dict[str, Any]:
    """Return what ``entry.json`` says. Raises OSError, or ValueError where it is damaged or was written elsewhere."""
    facts = json.loads((folder / ENTRY).read_text("utf-8"))
    if not isinstance(facts, dict):
        raise ValueError(f"its {ENTRY} is no mapping")
    if facts.pop("digest", None) != digest_of_arrays(facts, {}):
        raise ValueError(f"its {ENTRY} is not what was written")
    if facts.get("content") != folder.name:
        raise ValueError(f"its {ENTRY} is another entry's")
    return facts


def write_facts(folder: Path, facts: Mapping[str, Any], content: str) -> None:
    """Write ``entry.json``, with its own digest, for the entry that will be called ``content``."""
    whole = {**facts, "content": content}
    with replacing(folder / ENTRY) as temporary:
        temporary.write_text(json.dumps({**whole, "digest": digest_of_arrays(whole, {})}), "utf-8")


def _alias_seal(key: str, content: str) -> str:
    return hashlib.sha256(f"{key} {content}".encode()).hexdigest()[:16]


_verified: set[object] = set()  # the states in which files of pixels were verified


def _verify_blocks(path: Path, pixels: Pixels, blocks: Sequence[Sequence[int]]) -> None:
    """Compare every row with the checksum of its block, once a process. Raises ValueError where one is wrong."""
    state = state_of(path)
    if state in _verified:
        return
    row = 0
    for start, count, crc in blocks:
        if start != row or count < 1 or zlib.crc32(pixels[start : start + count].data) != crc:
            raise ValueError(f"images {start} to {start + count - 1} are not what was written")
        row = start + count
    if row != len(pixels):
        raise ValueError(f"checksums of {row} images for {len(pixels)}")
    _verified.add(state)


def crc_of(path: Path) -> int:
    """Return the checksum of a file's bytes."""
    crc = 0
    with path.open("rb") as file:
        while data := file.read(1 << 20):
            crc = zlib.crc32(data, crc)
    return crc


def write_sums(folder: Path, what: str) -> None:
    """Note the checksum of every file in a folder that was filled from an archive. what: the archive, in words."""
    crcs = _crcs_in(folder)
    (folder / SUMS).mkdir()
    write_facts(folder / SUMS, {"what": what, "files": len(crcs), "crcs": crcs}, SUMS)


def problem_of_sums(folder: Path) -> str:
    """Return what is no more as it was unpacked, or nothing."""
    try:
        noted, found = read_facts(folder / SUMS)["crcs"], _crcs_in(folder)
        wrong = [name for name in {**noted, **found} if noted.get(name) != found.get(name)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return f"its checksums cannot be read ({reason_of(error)})"
    return f"{readable(wrong[0])}: not what was unpacked" if wrong else ""


def _crcs_in(folder: Path) -> dict[str, int]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    found = {path.relative_to(folder).as_posix(): crc_of(path) for path in files}
    return {name: crc for name, crc in found.items() if not name.startswith(f"{SUMS}/")}


def keep_entry(cache: Path, key: str, folder: Path, content: str) -> None:
    """Move a finished folder to its place, unless the same content is there already, and note whose it is."""
    place = cache / DECODED / content
    read_entry(place)  # throws it away where it is damaged
    try:
        folder.rename(place)
    except OSError:
        if read_entry(place) is None:
            raise
        shutil.rmtree(folder)  # the same files at another place, or another process was first
    sync_folder(place.parent)
    with replacing(cache / DECODED / BY_FILES / key) as temporary:
        temporary.write_text(f"{content} {_alias_seal(key, content)}", "utf-8")
