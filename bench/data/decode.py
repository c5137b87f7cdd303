"""Image files into one array of one size: decoded in threads, in memory while that fits, else in a memory map."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import PIL
from PIL import Image

from bench.contract import DataError, DataPlace, ImageShape, UsageError
from bench.data.cache import PIXELS, PixelFile, content_key, fresh_entry, locked, read_entry, write_index
from bench.data.naming import first_few, readable
from bench.data.picture import OtherSizeError, Resize, Size, UnreadableImageError, read_picture
from bench.data.threaded import map_in_order
from bench.naming import did_you_mean

if TYPE_CHECKING:
    from bench.contract import Labels, Pixels

    Outcome = Pixels | UnreadableImageError | OtherSizeError

logger = logging.getLogger(__name__)

SMALL = 64  # up to this side, images that all have one size keep it; all others are brought to SMALL x SMALL
MEMORY = 2 << 30  # bytes of images held in memory at most
GUESSES = 32  # files tried for a first guess at the shape
FORMAT = 1  # to be raised when the same file would give other pixels than before


@dataclass(frozen=True)
class Recipe:
    """How to bring image files to one size.

    size: (height, width); None keeps the images' own size if they all share one of at most 64x64, else 64x64.
    resize: see `read_picture`. skip_broken: leave out what cannot be decoded, instead of failing.
    memory: bytes that the images may take in memory, None for 2 GiB or a quarter of what is available, if that is less.
    """

    size: Size | None = None
    resize: Resize = "crop"
    skip_broken: bool = False
    memory: int | None = None

    def __post_init__(self) -> None:
        ways = ("crop", "pad", "stretch")
        if self.resize not in ways:
            raise UsageError(f"resize {self.resize!r} is not one of {', '.join(ways)}{did_you_mean(self.resize, ways)}")
        if self.size is not None and min(self.size) < 1:
            raise UsageError(f"an image size must be at least 1x1, got {self.size[0]}x{self.size[1]}")


@dataclass(frozen=True)
class Decoded:
    """pixels: read-only ``(k, height, width, channels)``; kept: int64 ``(k,)``, the files they show, ascending."""

    pixels: Pixels
    kept: Labels


@dataclass(frozen=True)
class _Frame:
    """The shape that all images are to get; own: it is the first image's own size, and only holds while all have it."""

    shape: ImageShape
    own: bool

    @property
    def size(self) -> Size:
        return self.shape.height, self.shape.width


class _MisfitError(Exception):
    """An image does not fit the frame; ``frame`` is the next one to try."""

    def __init__(self, frame: _Frame) -> None:
        super().__init__()
        self.frame = frame


class _Sink(Protocol):
    def add(self, picture: Pixels) -> None: ...


class _Memory:
    """Images gathered in one array in memory."""

    def __init__(self, most: int, shape: ImageShape) -> None:
        self.count = 0
        self._pixels = np.empty((most, shape.height, shape.width, shape.channels), np.uint8)

    def add(self, picture: Pixels) -> None:
        self._pixels[self.count] = picture
        self.count += 1

    def pixels(self) -> Pixels:
        found = self._pixels[: self.count]
        found.flags.writeable = False  # shared by every stage, as a memory map is
        return found


def decode_files(
    paths: Sequence[Path], place: DataPlace, recipe: Recipe, warn: Callable[[str], None] = logger.warning
) -> Decoded:
    """Decode image files, in order, to one shape: grey if every file is grey, else colour.

    ``place.image_size`` outranks the recipe's size. What does not fit in memory is decoded once, into
    ``place.cache``, and reused as long as no file changes. warn: told what was left out, if ``recipe.skip_broken``.
    Raises DataError that names the first files that cannot be decoded, and why.
    """
    if not paths:
        raise DataError("no image files to decode")
    Image.init()  # registers every format; left to the threads, two of them may race for it
    recipe = replace(recipe, size=place.image_size or recipe.size)
    height, width = recipe.size or (SMALL, SMALL)
    memory = _memory_to_use() if recipe.memory is None else recipe.memory
    if len(paths) * height * width * 3 <= memory:
        pixels, broken = _into_memory(paths, place, recipe)
    else:
        pixels, broken = _into_cache(paths, place, recipe)
    if broken:
        problem = f"{len(broken):,} of {len(paths):,} image files cannot be read: {_named(paths, broken)}"
        if not recipe.skip_broken:
            raise DataError(f"{problem}. Repair or delete them, or leave them out with skip_broken=true")
        warn(f"left out, {problem}")
    return Decoded(pixels, np.delete(np.arange(len(paths)), list(broken)))


def _into_memory(paths: Sequence[Path], place: DataPlace, recipe: Recipe) -> tuple[Pixels, dict[int, str]]:
    frame = _first_frame(paths, recipe)
    while True:
        sink = _Memory(len(paths), frame.shape)
        try:
            broken = _fill(sink, paths, frame, place, recipe)
        except _MisfitError as misfit:
            frame = misfit.frame
        else:
            return sink.pixels(), broken


def _into_cache(paths: Sequence[Path], place: DataPlace, recipe: Recipe) -> tuple[Pixels, dict[int, str]]:
    facts = {"format": FORMAT, "pillow": PIL.__version__, "size": recipe.size, "resize": recipe.resize}
    with locked(place.cache, content_key(paths, facts)) as entry:
        found = read_entry(entry)
        if found is None:
            with fresh_entry(entry) as folder:
                write_index(folder, _into_file(folder / PIXELS, paths, place, recipe))
            found = read_entry(entry)
    if found is None:
        raise DataError(f"{entry}: cannot be read back after it was written; look at the disk")
    return found


def _into_file(path: Path, paths: Sequence[Path], place: DataPlace, recipe: Recipe) -> dict[int, str]:
    frame = _first_frame(paths, recipe)
    while True:
        sink = PixelFile(path, frame.shape)
        try:
            broken = _fill(sink, paths, frame, place, recipe)
            sink.finish()
        except _MisfitError as misfit:
            frame = misfit.frame
        else:
            return broken
        finally:
            sink.close()


def _first_frame(paths: Sequence[Path], recipe: Recipe) -> _Frame:
    """Guess the shape from the first image that can be read; a wrong guess costs one more start, in `_MisfitError`."""
    for path in paths[:GUESSES]:
        try:
            height, width, channels = read_picture(path, recipe.size, recipe.resize).shape
        except UnreadableImageError:
            continue  # met again, and counted, in _fill
        if recipe.size is not None:
            return _Frame(ImageShape(height, width, channels), own=False)
        if max(height, width) <= SMALL:
            return _Frame(ImageShape(height, width, channels), own=True)
        return _Frame(ImageShape(SMALL, SMALL, channels), own=False)
    return _Frame(ImageShape(*(recipe.size or (SMALL, SMALL)), 1), own=False)


def _fill(sink: _Sink, paths: Sequence[Path], frame: _Frame, place: DataPlace, recipe: Recipe) -> dict[int, str]:
    """Put every readable image into the sink, in order. Returns the reason for each row that is left out."""
    broken: dict[int, str] = {}
    outcomes: Iterable[Outcome] = _outcomes(paths, frame, recipe)
    if place.progress is not None:
        outcomes = place.progress(outcomes, total=len(paths), what="decoding images")
    for row, outcome in enumerate(outcomes):
        if isinstance(outcome, UnreadableImageError):
            broken[row] = str(outcome)
        elif isinstance(outcome, OtherSizeError):
            raise _MisfitError(_Frame(ImageShape(SMALL, SMALL, frame.shape.channels), own=False))
        elif outcome.shape[2] > frame.shape.channels:
            raise _MisfitError(replace(frame, shape=replace(frame.shape, channels=3)))
        else:
            sink.add(outcome)
    if len(broken) == len(paths):
        raise DataError(f"none of the {len(paths):,} image files can be read: {_named(paths, broken)}")
    return broken


def _named(paths: Sequence[Path], broken: Mapping[int, str]) -> str:
    return first_few([f"{readable(str(paths[row]))} ({reason})" for row, reason in broken.items()])


def _outcomes(paths: Sequence[Path], frame: _Frame, recipe: Recipe) -> Iterator[Outcome]:
    only = frame.size if frame.own else None

    def decode(path: Path) -> Outcome:
        try:
            return read_picture(path, frame.size, recipe.resize, only=only)
        except (UnreadableImageError, OtherSizeError) as problem:
            return problem

    return map_in_order(decode, paths)


def _memory_to_use() -> int:
    """Return MEMORY, or a quarter of the machine's available memory where the system tells it and that is less."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:  # not Linux
        return MEMORY
    available = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    return min([MEMORY, *(size // 4 for size in available)])
