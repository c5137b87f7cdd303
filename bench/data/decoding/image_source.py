"""Where an image's bytes lie, and how they are read: from regular files only, without ever waiting for a writer."""

from __future__ import annotations

import os
import stat
import unicodedata
from dataclasses import dataclass
from typing import Any

from bench.contract import DataError
from bench.naming import readable

MOST = 1 << 29  # bytes of an image file; what Pillow's limit of 89 million pixels takes uncompressed, twice
KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class UnreadableImageError(DataError):
    """A file is no image that can be used; the message is the reason alone, the caller names the file."""


@dataclass(frozen=True, slots=True)
class Piece:
    """An image file inside a larger file: so many bytes from an offset. ``name`` is what errors call it."""

    file: str
    start: int
    length: int
    name: str


Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels, the last two not part of it


@dataclass(frozen=True, slots=True)
class Crop:
    """The part of a picture that lies in a box."""

    whole: str | Piece
    box: Box


Source = str | Piece | Crop


def name_of(source: Source) -> str:
    """Return what to call a source in a message."""
    if isinstance(source, Crop):
        return f"{name_of(source.whole)} (box {','.join(map(str, source.box))})"
    return source.name if isinstance(source, Piece) else readable(source)


def box_of(source: Source) -> Box | None:
    """Return the box that a source is cut to, or None for all of its picture."""
    return source.box if isinstance(source, Crop) else None


def source_from_json(facts: str | dict[str, Any]) -> Source:
    """Return the source that ``dataclasses.asdict`` and JSON have made these of."""
    if isinstance(facts, str):
        return facts
    if "box" not in facts:
        return Piece(**facts)
    left, top, right, bottom = facts["box"]
    return Crop(
        facts["whole"] if isinstance(facts["whole"], str) else Piece(**facts["whole"]), (left, top, right, bottom)
    )


def on_disk(path: str, folders: dict[str, dict[str, str]]) -> str:
    """Return a path as the disk has it: names that differ in their Unicode normal form alone are the same name.

    As it is where something is there, or where nothing is under any form. folders: what was met before in folders; to
    be handed on from call to call.
    """
    if path.isascii() or os.path.lexists(path):
        return path
    folder, name = os.path.split(path)
    home = folder if folder == path else on_disk(folder, folders)  # the root is its own folder
    if home not in folders:
        try:
            names = os.listdir(home)
        except (OSError, ValueError):
            names = []
        folders[home] = {unicodedata.normalize("NFC", found): os.path.join(home, found) for found in names}
    return folders[home].get(unicodedata.normalize("NFC", name), path)


def read_source(source: Source) -> bytes:
    """Return the bytes of an image's file. Raises UnreadableImageError with the reason; opens only a regular file."""
    source = source.whole if isinstance(source, Crop) else source
    path, length = (source.file, source.length) if isinstance(source, Piece) else (source, None)
    try:
        _check(os.stat(path), length)  # before it is opened: opening a device may do something
        number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(number, "rb", buffering=0) as file:
            size = _check(os.fstat(number), length)  # what was opened may be another file by now; it did not block
            if isinstance(source, Piece):
                file.seek(source.start)
            data = file.read(size)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise UnreadableImageError(getattr(error, "strerror", None) or str(error)) from error
    if not data:
        raise UnreadableImageError("empty file")
    return data


def _check(about: os.stat_result, length: int | None) -> int:
    """Return how many bytes to read: those of the piece, or all of the file."""
    kind = stat.S_IFMT(about.st_mode)
    if kind != stat.S_IFREG:
        raise UnreadableImageError(f"{KINDS.get(kind, 'something else')}, not a file")
    size = about.st_size if length is None else length
    if size > MOST:
        raise UnreadableImageError(f"{size:,} bytes, more than the {MOST:,} that an image file may have")
    return size
