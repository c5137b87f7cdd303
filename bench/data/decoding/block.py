"""A block of images: so many files, one after the other, decoded into their rows of a file of pixels.

What a worker process runs, so it imports little; tasks and outcomes are plain enough to travel as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from io import FileIO
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from bench.data.decoding.decode_image import OtherSizeError, Range, decode_picture
from bench.data.decoding.image_source import Source, UnreadableImageError, box_of, read_source, source_from_json

if TYPE_CHECKING:
    from bench.contract import Pixels, ResizeMode


@dataclass(frozen=True)
class Frame:
    """The shape that all images are to get; own: it is the first image's own size, and only holds while all have it."""

    height: int
    width: int
    channels: int
    own: bool

    @property
    def bytes(self) -> int:
        return self.height * self.width * self.channels


@dataclass(frozen=True)
class Task:
    """Decode ``sources`` to ``frame`` and write them to the file ``pixels``, ``offset`` bytes from its start.

    start: the row of the first; lost: reasons, by position, for sources that must not be tried (they end a process).
    """

    pixels: str
    offset: int
    start: int
    sources: tuple[Source, ...]
    frame: Frame
    resize: ResizeMode
    value_range: Range | None = None
    lost: Mapping[int, str] = field(default_factory=dict)

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> Task:
        sources = tuple(map(source_from_json, facts.pop("sources")))
        frame, lost = Frame(**facts.pop("frame")), {int(row): why for row, why in facts.pop("lost").items()}
        low_high = facts.pop("value_range")
        value_range = None if low_high is None else (low_high[0], low_high[1])
        return cls(**facts, sources=sources, frame=frame, lost=lost, value_range=value_range)


@dataclass(frozen=True)
class Outcome:
    """What became of a block.

    broken: (row, reason) of what could not be decoded, whose pixels are zero; crc: of the block's pixels; contents: a
    digest in hex of each file's bytes, one after the other; misfit: None, or what of the frame an image does not fit,
    in which case nothing was written.
    """

    start: int
    count: int
    broken: tuple[tuple[int, str], ...] = ()
    crc: int = 0
    contents: str = ""
    misfit: Literal["size", "colour"] | None = None

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> Outcome:
        broken = tuple((int(row), str(reason)) for row, reason in facts.pop("broken"))
        return cls(**facts, broken=broken)


Read: TypeAlias = bytes | UnreadableImageError  # a file's bytes, or why they cannot be had
Picture: TypeAlias = "Pixels | UnreadableImageError | OtherSizeError"
Decode: TypeAlias = Callable[[Task, Iterable[Read]], Iterator[tuple[Read, Picture]]]


def decode_each(task: Task, reads: Iterable[Read]) -> Iterator[tuple[Read, Picture]]:
    """Yield what was read of each source, and its picture or why there is none: by Pillow, one after the other."""
    for position, read in enumerate(reads):
        yield read, decode_one(task, position, read)


def decode_one(task: Task, position: int, read: Read) -> Picture:
    """Return a source's picture, uint8 ``(height, width, 1 or 3)``, or why there is none."""
    if isinstance(read, UnreadableImageError):
        return read
    size, box = (task.frame.height, task.frame.width), box_of(task.sources[position])
    try:
        only = size if task.frame.own else None
        return decode_picture(read, size, task.resize, only=only, box=box, value_range=task.value_range)
    except (UnreadableImageError, OtherSizeError) as error:
        return error


def fill_block(task: Task, decode: Decode = decode_each) -> Outcome:
    """Do a task. Raises OSError if the pixels cannot be written."""
    frame, count = task.frame, len(task.sources)
    block = np.zeros((count, frame.height, frame.width, frame.channels), np.uint8)
    contents: list[str] = []
    broken: list[tuple[int, str]] = []
    reads = (_read(task, position) for position in range(count))
    for position, (read, picture) in enumerate(decode(task, reads)):
        if isinstance(picture, OtherSizeError):
            return Outcome(task.start, count, misfit="size")
        if isinstance(picture, UnreadableImageError) or isinstance(read, UnreadableImageError):
            contents.append(_digest(str(picture).encode("utf-8", "replace")))
            broken.append((task.start + position, str(picture)))
            continue
        if picture.shape[2] > frame.channels:
            return Outcome(task.start, count, misfit="colour")
        box = box_of(task.sources[position])
        contents.append(_digest(read, f"{box}".encode() if box else b""))
        block[position] = picture
    with open(task.pixels, "r+b") as file:
        file.seek(task.offset)
        file.write(block.data)
    return Outcome(task.start, count, tuple(broken), zlib.crc32(block.data), "".join(contents))


def _read(task: Task, position: int) -> Read:
    if position in task.lost:
        return UnreadableImageError(task.lost[position])
    try:
        return read_source(task.sources[position])
    except UnreadableImageError as error:
        return error


CONTENT_BYTES = 16  # of a file's digest


def _digest(*parts: bytes) -> str:
    digest = blake2b(digest_size=CONTENT_BYTES)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


READY = b"ready\n"


def main() -> None:
    """Do tasks, a line of JSON each, until standard input ends, which it also does when our parent is killed."""
    answers = open_answers()
    answers.write(READY)
    for line in sys.stdin.buffer:
        try:
            answer = asdict(fill_block(Task.from_json(json.loads(line))))
        except OSError as error:
            answer = {"errno": error.errno, "error": error.strerror or str(error)}
        answers.write(json.dumps(answer).encode() + b"\n")


def open_answers() -> FileIO:
    """Make this process one that answers its parent in what is returned, unbuffered, and prints nothing else there."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; who started us tells us when to stop
    warnings.simplefilter("ignore")  # Pillow's remarks on odd files; what cannot be decoded is reported as such
    answers = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no answer
    return FileIO(answers, "wb")
