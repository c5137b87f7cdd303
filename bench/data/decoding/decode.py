"""Image files into one memory-mapped array of one size: decoded once, in parallel, and kept in the cache.

An entry of the cache comes to be so: a shape that fits all images, then block after block, each done once.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
import PIL

from bench.contract import DataError, DataPlace, ResizeMode, Size, UsageError
from bench.contract.images import check_range
from bench.data.decoding.block import Frame, Outcome, Task, fill_block
from bench.data.decoding.cache import Entry, files_key, find_entry, keep_entry, locked, write_facts
from bench.data.decoding.decode_image import HEIC, Range, read_picture
from bench.data.decoding.decode_journal import DecodeJournal
from bench.data.decoding.image_source import Source, UnreadableImageError, name_of
from bench.data.decoding.worker_pool import WorkerPool, map_in_order
from bench.environment import processors
from bench.naming import did_you_mean, first_few

if TYPE_CHECKING:
    from bench.contract import Labels, Pixels

logger = logging.getLogger(__name__)

FORMAT = 4  # to be raised when the same file would give other pixels than before, or an entry has other parts
TOLERATED = 100  # one broken file in so many is what happens; more is a sign of something else
SMALL = 64  # up to this side, images that all have one size keep it; all others are brought to SMALL x SMALL
GUESSES = 32  # files tried for a first guess at the shape
BLOCK = 4 << 20  # bytes of pixels that are decoded between two checksums ...
BLOCK_TOGETHER = 64 << 20  # ... and at once, by a decoder that takes many files: 400 of 224x224
MOST_IN_BLOCK = 512  # files, so that small images too are handed out often
WORKERS_FROM = 2000  # files; for fewer, starting processes takes longer than they save


@dataclass(frozen=True)
class DecodeRecipe:
    """How to bring image files to one size.

    size: (height, width); None keeps the images' own size if they all share one of at most 64x64, else 64x64.
    resize, value_range: see `bench.contract.Resize`.
    """

    size: Size | None = None
    resize: ResizeMode = "crop"
    value_range: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        check_range(self.value_range)
        ways = get_args(ResizeMode)
        if self.resize not in ways:
            raise UsageError(f"resize {self.resize!r} is not one of {', '.join(ways)}{did_you_mean(self.resize, ways)}")
        if self.size is not None and min(self.size) < 1:
            raise UsageError(f"an image size must be at least 1x1, got {self.size[0]}x{self.size[1]}")

    @property
    def range(self) -> Range | None:
        """The value range, of which is known that it has two ends."""
        return None if self.value_range is None else (self.value_range[0], self.value_range[1])


@dataclass(frozen=True)
class Decoded:
    """pixels: read-only map ``(files, height, width, channels)``; kept: int64, the rows that show an image, ascending.

    broken: the reason for every other row. contents, own: see `bench.data.decoding.cache.Entry`.
    """

    pixels: Pixels
    kept: Labels
    contents: Pixels
    own: bool
    broken: Mapping[int, str] = field(default_factory=dict)


def decode_files(
    files: Sequence[Source | Path],
    place: DataPlace,
    recipe: DecodeRecipe,
    *,
    what: str = "",
    warn: Callable[[str], None] = logger.warning,
) -> Decoded:
    """Decode image files to one shape: grey if every file is grey, else colour.

    Done once, into ``place.cache``, and reused as long as no file changes; a decode that was cut off goes on where it
    stopped. ``place.broken`` says what becomes of files that cannot be decoded. what: the files' name in the list of
    the cache; warn: told what was left out.
    Raises DataError that names the first files that cannot be decoded, and why.
    """
    if not files:
        raise DataError("no image files to decode")
    sources = [str(file) if isinstance(file, Path) else file for file in files]
    facts = {"format": FORMAT, "pillow": PIL.__version__, "size": recipe.size, "resize": recipe.resize}
    if recipe.value_range is not None:
        facts["value_range"] = recipe.value_range
    if decoder := decoder_in(place):
        facts["decoder"] = decoder
    if HEIC:  # files that could not be read without it are tried again
        facts["pillow_heif"] = version("pillow_heif")
    key = files_key(sources, facts)
    with locked(place.cache, key) as folder:
        entry = find_entry(place.cache, key)
        if entry is None:
            try:
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", module=r"PIL\.")  # of odd files; broken ones are reported
                    make_entry(Job(key, folder, sources, place, recipe, facts, what or name_of(sources[0])))
            except OSError as error:
                raise DataError(f"{folder}: the images cannot be written ({error.strerror or error})") from error
            entry = find_entry(place.cache, key)
    if entry is None:
        raise DataError(f"{place.cache}: decoded images cannot be read back after they were written; look at the disk")
    _judge(entry, sources, place, warn)
    kept = np.delete(np.arange(len(sources), dtype=np.int64), list(entry.broken))
    return Decoded(entry.pixels, kept, entry.contents, entry.own, entry.broken)


def decoder_in(place: DataPlace) -> str:
    """Return what decodes there in words that tell it from all whose pixels are others; nothing for Pillow."""
    if place.decoder == "pillow":
        return ""
    from bench.data.decoding.together import decoder_of  # noqa: PLC0415 - torch takes seconds

    return decoder_of(place.decodes_on)


def _judge(entry: Entry, sources: Sequence[Source], place: DataPlace, warn: Callable[[str], None]) -> None:
    """Refuse what is broken, or tell that it is left out, as ``place.broken`` has it."""
    broken, total = entry.broken, len(sources)
    if not broken:
        return
    named = first_few([f"{name_of(sources[row])} ({reason})" for row, reason in broken.items()])
    if len(broken) == total:
        raise DataError(f"none of the {total:,} image files can be read: {named}")
    problem = f"{len(broken):,} of {total:,} image files cannot be read: {named}"
    if place.broken == "none":
        raise DataError(f"{problem}. Repair or delete them, or leave out --strict")
    if place.broken == "few" and len(broken) * TOLERATED > total:
        raise DataError(f"{problem}. Repair or delete them, or leave them out with --skip-broken")
    warn(f"left out, {problem}")


@dataclass(frozen=True)
class Job:
    """What is to be decoded, and how.

    key: of the files as they are; folder: to work in, locked; facts: what the key was made of beside the files; what:
    what the list of the cache calls it.
    """

    key: str
    folder: Path
    sources: Sequence[Source]
    place: DataPlace
    recipe: DecodeRecipe
    facts: Mapping[str, object]
    what: str


def make_entry(job: Job) -> None:
    """Decode a job's files into the cache, from where an earlier start was cut off. Raises OSError if it is full."""
    sources, recipe, folder = job.sources, job.recipe, job.folder
    work = DecodeJournal(folder, len(sources), job.facts)
    if work.frame is None:
        work.begin(_first_frame(sources, recipe))
    frame = work.frame
    while frame is not None:
        misfit = _fill(work, frame, job)
        if misfit is None:
            break
        frame = _next_frame(frame, misfit)
        work.begin(frame)
    if frame is None:
        raise DataError(f"{folder}: no shape was settled on")
    outcomes = [work.done[start] for start in sorted(work.done)]
    made = {**job.facts, **asdict(frame)}
    contents = "".join(outcome.contents for outcome in outcomes)
    content = sha256(json.dumps([made, contents], sort_keys=True).encode()).hexdigest()[:32]
    whole = {
        **job.facts,
        "what": job.what,
        "shape": [len(sources), frame.height, frame.width, frame.channels],
        "start": work.start,
        "blocks": [[one.start, one.count, one.crc] for one in outcomes],
        "broken": [[row, reason] for one in outcomes for row, reason in one.broken],
        "contents": contents,
        "own": frame.own,
    }
    write_facts(folder, whole, content)
    work.finish()
    keep_entry(job.place.cache, job.key, folder, content)


def _fill(work: DecodeJournal, frame: Frame, job: Job) -> Outcome | None:
    """Do every block that is not done. Returns the first that does not fit the frame, or None if all do."""
    misfits: list[Outcome] = []
    rows = _rows(work, frame, job, misfits)
    shown: Iterable[int] = rows
    if job.place.progress is not None:
        shown = job.place.progress(rows, total=len(job.sources), what="decoding images")
    try:
        for _ in shown:
            pass
        rows.close()
    except OSError:
        work.discard()  # a full disk is not helped by keeping what fills it
        raise
    except BaseException:  # an interrupt too must keep what is done
        rows.close()
        raise
    return misfits[0] if misfits else None


def _rows(work: DecodeJournal, frame: Frame, job: Job, misfits: list[Outcome]) -> Generator[int, None, None]:
    """Do the blocks, and yield each row that is done, those of an earlier start first."""
    together = job.place.decoder == "torchcodec"
    step = max(1, min(MOST_IN_BLOCK, (BLOCK_TOGETHER if together else BLOCK) // frame.bytes))
    for outcome in list(work.done.values()):
        yield from range(outcome.start, outcome.start + outcome.count)
    sources = job.sources
    todo = [start for start in range(0, len(sources), step) if start not in work.done]
    workers = WorkerPool(processors()) if len(todo) * step >= WORKERS_FROM and not together else None
    fill: Callable[[Task], Outcome] = workers.fill if workers is not None else fill_block
    if together:
        from bench.data.decoding.together import decode_together  # noqa: PLC0415 - torch takes seconds

        fill = partial(fill_block, decode=partial(decode_together, device=job.place.decodes_on))

    def do(start: int) -> Outcome:
        some = tuple(sources[start : start + step])
        return fill(
            Task(
                str(work.pixels),
                work.start + start * frame.bytes,
                start,
                some,
                frame,
                job.recipe.resize,
                job.recipe.range,
            )
        )

    outcomes = map_in_order(do, todo, chunk=1, threads=1 if together else None)  # one already fills a card
    try:
        for outcome in outcomes:
            if outcome.misfit is not None:
                misfits.append(outcome)
                return
            work.enter(outcome)
            yield from range(outcome.start, outcome.start + outcome.count)
    finally:
        outcomes.close()  # type: ignore[attr-defined] # an iterator that is a generator
        if workers is not None:
            workers.close()
        if not misfits and work.folder.exists():
            work.sync()


def _first_frame(sources: Sequence[Source], recipe: DecodeRecipe) -> Frame:
    """Guess the shape from a few files all over; a wrong guess costs one more start (`_next_frame`)."""
    shapes = []
    for source in sources[:: max(1, len(sources) // GUESSES)]:
        try:
            shapes.append(read_picture(source, recipe.size, recipe.resize, value_range=recipe.range).shape)
        except UnreadableImageError:  # met again, and counted, when its block is filled
            continue
    channels = max((shape[2] for shape in shapes), default=1)
    sizes = {shape[:2] for shape in shapes}
    if recipe.size is not None:
        return Frame(*recipe.size, channels, own=False)
    if len(sizes) == 1 and max(max(size) for size in sizes) <= SMALL:
        height, width, _ = shapes[0]
        return Frame(height, width, channels, own=True)
    return Frame(SMALL, SMALL, channels, own=False)


def _next_frame(frame: Frame, misfit: Outcome) -> Frame:
    if misfit.misfit == "size":
        return Frame(SMALL, SMALL, frame.channels, own=False)
    return replace(frame, channels=3)
