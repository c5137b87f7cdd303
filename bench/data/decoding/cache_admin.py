"""Looking after the cache: what is in it, whether it is still what was written, and making room."""

from __future__ import annotations

import shutil
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from bench.contract import DataError
from bench.data.decoding.cache import (
    AUDITS,
    BY_FILES,
    DECODED,
    ENTRY,
    EXTRACTED,
    FEATURES,
    GALLERIES,
    PIXELS,
    SUMS,
    UNDER_WAY,
    UNPACKED,
    crc_of,
    locked,
    problem_of_sums,
    read_facts,
)

Kind = Literal["decoded", "unpacked", "under way", "extracted", "audit", "features", "gallery"]
STEP = 4 << 20  # bytes read at a time


@dataclass(frozen=True)
class CacheItem:
    """One folder of the cache, or an audit's file.

    used: seconds since the epoch, when it was last made or read; size: height x width of decoded images, else empty.
    """

    kind: Kind
    folder: Path
    what: str
    images: int
    bytes: int
    used: float
    size: str = ""

    @property
    def key(self) -> str:
        return self.folder.name


def cache_items(cache: Path) -> list[CacheItem]:
    """Return all that is decoded, unpacked, under way, extracted from archives, audited, or embedded; last used first.

    Embedded are pictures to learn from (features), and those to be searched (galleries).
    """
    places: tuple[tuple[Kind, Path], ...] = (
        ("decoded", cache / DECODED),
        ("unpacked", cache / UNPACKED),
        ("under way", cache / DECODED / UNDER_WAY),
    )
    found = [_item(kind, folder) for kind, place in places for folder in _folders(place)]
    found += [_plain_item("extracted", folder) for folder in _folders(cache / EXTRACTED)]
    found += [_plain_item("audit", file) for file in (cache / AUDITS).glob("*.npz")]
    found += [_plain_item("features", file) for file in (cache / FEATURES).glob("*.safetensors")]
    # Indexes, those that were stopped, and methods fitted on a folder where there is no run.
    for pattern in ("*.safetensors", "*.shards", "*.fitted"):
        found += [_plain_item("gallery", path) for path in (cache / GALLERIES).glob(pattern)]
    return sorted(found, key=lambda one: -one.used)


def _folders(place: Path) -> Iterator[Path]:
    if place.is_dir():
        yield from (one for one in place.iterdir() if one.is_dir() and one.name not in (BY_FILES, UNDER_WAY))


def _item(kind: Kind, folder: Path) -> CacheItem:
    files = [path.stat() for path in folder.iterdir() if path.is_file()]
    taken = sum(getattr(about, "st_blocks", about.st_size // 512) * 512 for about in files)  # files may have holes
    try:
        facts = read_facts(folder)
        used, what = (folder / ENTRY).stat().st_mtime, str(facts["what"])
        if kind == "unpacked":
            return CacheItem(kind, folder, what, int(facts["files"]), taken, used)
        images, height, width, _ = facts["shape"]
        return CacheItem(kind, folder, what, int(images), taken, used, f"{height}x{width}")
    except (OSError, ValueError, KeyError, TypeError):
        used = max((about.st_mtime for about in files), default=folder.stat().st_mtime)
        return CacheItem(kind, folder, "(not finished)" if kind == "under way" else "(damaged)", 0, taken, used)


def _plain_item(kind: Kind, place: Path) -> CacheItem:
    """Return what carries no facts of its own: the files of an archive, an audit, a gallery; it is made again."""
    found = place.rglob("*") if place.is_dir() else [place]
    files = [path for path in found if path.is_file() and path.parent.name != SUMS]
    taken = sum(path.stat().st_size for path in files)
    used = max(path.stat().st_mtime for path in (place, *files))
    return CacheItem(kind, place, place.name, len(files) if kind == "extracted" else 0, taken, used)


def problem_of(item: CacheItem) -> str | None:
    """Return what is wrong with a folder's files, or None if every checksum holds.

    Audits, features and galleries have digests of their own, which those who write them compare.
    """
    if item.kind in ("under way", "audit", "features", "gallery"):  # the first is checked where it is resumed
        return None
    if item.kind == "extracted":  # without any: compared with what was published when it is read
        return (problem_of_sums(item.folder) or None) if (item.folder / SUMS).is_dir() else None
    try:
        facts = read_facts(item.folder)
        if item.kind == "unpacked":
            wrong = [part for part, crc in facts["crcs"].items() if crc_of(item.folder / part) != crc]
            return f"{wrong[0]}: not what was written" if wrong else None
        return _problem_of_pixels(item.folder / PIXELS, facts)
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        return f"cannot be read ({error})"


def _problem_of_pixels(path: Path, facts: dict[str, Any]) -> str | None:
    rows, *shape = facts["shape"]
    each = shape[0] * shape[1] * shape[2]
    expected, size = facts["start"] + rows * each, path.stat().st_size
    if size != expected:
        return f"{PIXELS}: {size:,} bytes, not {expected:,}"
    if sum(count for _, count, _ in facts["blocks"]) != rows:
        return f"{ENTRY}: it does not list all images"
    with path.open("rb") as file:
        for start, count, crc in facts["blocks"]:
            file.seek(facts["start"] + start * each)
            if zlib.crc32(file.read(count * each)) != crc:
                return f"{PIXELS}: images {start} to {start + count - 1} are not what was written"
    return None


def to_prune(item: Sequence[CacheItem], *, everything: bool, days: float | None, most: int | None) -> list[CacheItem]:
    """Choose what is to go, the longest unused first.

    everything: all of it; days: what was not used for so long; most: as much as it takes to leave so many bytes.
    """
    oldest = sorted(item, key=lambda one: one.used)
    now, left = time.time(), sum(one.bytes for one in item)
    chosen = []
    for one in oldest:
        old = days is not None and now - one.used > days * 86_400
        if everything or old or (most is not None and left > most):
            chosen.append(one)
            left -= one.bytes
    return chosen


def remove(item: CacheItem, cache: Path) -> bool:
    """Remove an entry; whoever maps it keeps its pages. Returns False for one that another process is writing.

    Raises DataError where it may not be removed.
    """
    holding: AbstractContextManager[object] = nullcontext()
    if item.kind == "under way":
        holding = locked(cache, item.key, wait=False)
    elif item.kind == "gallery":
        holding = FileLock(item.folder.with_suffix(".lock"), timeout=0)
    try:
        with holding:
            shutil.rmtree(item.folder) if item.folder.is_dir() else item.folder.unlink()
    except TimeoutError:
        return False
    except OSError as error:
        raise DataError(f"{item.folder}: cannot be removed ({error.strerror or error})") from error
    if item.kind == "decoded":
        for alias in (cache / DECODED / BY_FILES).glob("*"):
            if alias.read_text("ascii", "replace").partition(" ")[0] == item.key:
                alias.unlink()
    return True
