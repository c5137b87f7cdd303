"""Image files into one memory-mapped array of one size: decoded once, in parallel, and kept in the cache."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import PIL

from bench.contract import DataError, DataPlace
from bench.data.decoding.cache import Entry, files_key, find_entry, locked
from bench.data.decoding.decode_job import DecodeRecipe, Job, make_entry
from bench.data.decoding.image_source import Source, name_of
from bench.naming import first_few

if TYPE_CHECKING:
    from bench.contract import Labels, Pixels

__all__ = ["DecodeRecipe", "Decoded", "decode_files"]

logger = logging.getLogger(__name__)

FORMAT = 2  # to be raised when the same file would give other pixels than before
TOLERATED = 100  # one broken file in so many is what happens; more is a sign of something else


@dataclass(frozen=True)
class Decoded:
    """pixels: read-only map ``(files, height, width, channels)``; kept: int64, the rows that show an image, ascending.

    broken: the reason for every other row.
    """

    pixels: Pixels
    kept: Labels
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
    stopped. ``place.image_size`` outranks the recipe's size; ``place.broken`` says what becomes of files that cannot be
    decoded. what: the files' name in the list of the cache; warn: told what was left out.
    Raises DataError that names the first files that cannot be decoded, and why.
    """
    if not files:
        raise DataError("no image files to decode")
    sources = [str(file) if isinstance(file, Path) else file for file in files]
    recipe = replace(recipe, size=place.image_size or recipe.size)
    facts = {"format": FORMAT, "pillow": PIL.__version__, "size": recipe.size, "resize": recipe.resize}
    key = files_key(sources, facts)
    with locked(place.cache, key) as folder:
        entry = find_entry(place.cache, key)
        if entry is None:
            try:
                make_entry(Job(key, folder, sources, place, recipe, facts, what or name_of(sources[0])))
            except OSError as error:
                raise DataError(f"{folder}: the images cannot be written ({error.strerror or error})") from error
            entry = find_entry(place.cache, key)
    if entry is None:
        raise DataError(f"{place.cache}: decoded images cannot be read back after they were written; look at the disk")
    _judge(entry, sources, place, warn)
    kept = np.delete(np.arange(len(sources), dtype=np.int64), list(entry.broken))
    return Decoded(entry.pixels, kept, entry.broken)


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
