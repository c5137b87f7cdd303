"""How an entry of the cache comes to be: a shape that fits all images, then block after block, each done once."""

from __future__ import annotations

import json
import warnings
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import get_args

from bench.contract import DataError, DataPlace, ResizeMode, UsageError
from bench.data.decoding.block import Frame, Outcome, Task, fill_block
from bench.data.decoding.cache import ENTRY, keep_entry
from bench.data.decoding.decode_image import Size, read_picture
from bench.data.decoding.decode_journal import UnderWay
from bench.data.decoding.image_source import Source, UnreadableImageError
from bench.data.decoding.ordered_map import map_in_order
from bench.data.decoding.worker_pool import Crew
from bench.environment import processors
from bench.files import replacing
from bench.naming import did_you_mean

SMALL = 64  # up to this side, images that all have one size keep it; all others are brought to SMALL x SMALL
GUESSES = 32  # files tried for a first guess at the shape
BLOCK = 4 << 20  # bytes of pixels that are decoded between two checksums
MOST_IN_BLOCK = 512  # files, so that small images too are handed out often
CREW_FROM = 2000  # files; for fewer, starting processes takes longer than they save


@dataclass(frozen=True)
class DecodeRecipe:
    """How to bring image files to one size.

    size: (height, width); None keeps the images' own size if they all share one of at most 64x64, else 64x64.
    resize: see `bench.contract.Resize`.
    """

    size: Size | None = None
    resize: ResizeMode = "crop"

    def __post_init__(self) -> None:
        ways = get_args(ResizeMode)
        if self.resize not in ways:
            raise UsageError(f"resize {self.resize!r} is not one of {', '.join(ways)}{did_you_mean(self.resize, ways)}")
        if self.size is not None and min(self.size) < 1:
            raise UsageError(f"an image size must be at least 1x1, got {self.size[0]}x{self.size[1]}")


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
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")  # of odd files; those that cannot be decoded are reported
        _make_entry(job)


def _make_entry(job: Job) -> None:
    sources, recipe, folder = job.sources, job.recipe, job.folder
    work = UnderWay(folder, len(sources), job.facts)
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
    content = sha256(json.dumps([made, [outcome.digest for outcome in outcomes]], sort_keys=True).encode())
    whole = {
        **job.facts,
        "what": job.what,
        "shape": [len(sources), frame.height, frame.width, frame.channels],
        "start": work.start,
        "blocks": [[one.start, one.count, one.crc] for one in outcomes],
        "broken": [[row, reason] for one in outcomes for row, reason in one.broken],
    }
    with replacing(folder / ENTRY) as temporary:
        temporary.write_text(json.dumps(whole), "utf-8")
    work.finish()
    keep_entry(job.place.cache, job.key, folder, content.hexdigest()[:32])


def _fill(work: UnderWay, frame: Frame, job: Job) -> Outcome | None:
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


def _rows(work: UnderWay, frame: Frame, job: Job, misfits: list[Outcome]) -> Generator[int, None, None]:
    """Do the blocks, and yield each row that is done, those of an earlier start first."""
    step = max(1, min(MOST_IN_BLOCK, BLOCK // frame.bytes))
    for outcome in list(work.done.values()):
        yield from range(outcome.start, outcome.start + outcome.count)
    sources = job.sources
    todo = [start for start in range(0, len(sources), step) if start not in work.done]
    crew = Crew(processors()) if len(todo) * step >= CREW_FROM else None
    fill = crew.fill if crew is not None else fill_block

    def do(start: int) -> Outcome:
        some = tuple(sources[start : start + step])
        return fill(Task(str(work.pixels), work.start + start * frame.bytes, start, some, frame, job.recipe.resize))

    outcomes = map_in_order(do, todo, chunk=1)
    try:
        for outcome in outcomes:
            if outcome.misfit is not None:
                misfits.append(outcome)
                return
            work.enter(outcome)
            yield from range(outcome.start, outcome.start + outcome.count)
    finally:
        outcomes.close()  # type: ignore[attr-defined] # an iterator that is a generator
        if crew is not None:
            crew.close()
        if not misfits and work.folder.exists():
            work.sync()


def _first_frame(sources: Sequence[Source], recipe: DecodeRecipe) -> Frame:
    """Guess the shape from a few files all over; a wrong guess costs one more start (`_next_frame`)."""
    shapes = []
    for source in sources[:: max(1, len(sources) // GUESSES)]:
        try:
            shapes.append(read_picture(source, recipe.size, recipe.resize).shape)
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
