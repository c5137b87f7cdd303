"""What a folder or a manifest says is there, before any image is decoded; and the step from there to a collection."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.contract import Collection, DataError, DataPlace, Images, LazyPixels, Relevance, Split
from bench.data.decoding.decode import DecodeRecipe
from bench.data.decoding.decode_image import HEIC_EXTRA, HEIC_SUFFIXES, PICTURES, SUFFIXES, highest_value
from bench.data.decoding.file_pixels import FilePixels
from bench.data.decoding.image_source import Source
from bench.naming import first_few, naturally

if TYPE_CHECKING:
    from bench.contract.images import Pixels


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """Image files with a class name and an id each. Paths are plain text: a `Path` takes 200 bytes more.

    groups: of each, or nothing; relevance: what each looks for, where they are queries that say so.
    """

    paths: tuple[Source, ...]
    labels: tuple[str, ...]
    ids: tuple[str, ...]
    groups: tuple[str, ...] = ()
    relevance: Relevance | None = None

    def __len__(self) -> int:
        return len(self.paths)

    @classmethod
    def of(cls, rows: Iterable[tuple[Source, str, str]]) -> Part:
        """Return a part of (path, label, id) a row."""
        paths, labels, ids = tuple(zip(*rows, strict=True)) or ((), (), ())
        return cls(paths, labels, ids)

    def only(self, rows: Iterable[int]) -> Part:
        """Return the part's chosen rows."""
        chosen = list(rows)
        part = Part.of((self.paths[row], self.labels[row], self.ids[row]) for row in chosen)
        groups = tuple(self.groups[row] for row in chosen) if self.groups else ()
        return replace(part, groups=groups, relevance=self.relevance and self.relevance.subset(chosen))


@dataclass(frozen=True)
class Listing:
    """The parts of a data set as files.

    parts: by the names of a Collection's parts; left_out: how many files of each suffix, or of what else, are in none;
    warnings: what a user must know of them. by_class: why whole classes are tested on, nothing where they are not.
    source: the folder or file that errors name.
    Raises DataError unless there is something to test on, of two classes or more, and, where there is something to
    learn from, none of the test's is new. Queries and galleries of a manifest may show new classes.
    """

    name: str
    source: Path
    parts: Mapping[str, Part]
    left_out: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    by_class: str = ""

    def __post_init__(self) -> None:
        classes = self.classes
        if not classes:
            raise DataError(f"{self.source}: no images in it")
        if len(classes) < 2 and not self.listed:
            raise DataError(f"{self.source}: one class only ({first_few(classes)}), so that nothing can be told apart")
        tested = "query" if "query" in self.parts else "test"
        if not self.parts.get(tested):
            use = "they ask" if tested == "query" else "it is what is ranked"
            raise DataError(f"{self.source}: no images in the {tested} part, and {use}; name some for it")
        for name, part in self.parts.items():
            repeated = [one for one, times in Counter(part.ids).items() if times > 1]
            if repeated:
                raise DataError(f"{self.source}: twice in the {name} part: {first_few(repeated)}")
        known = set(self.parts["train"].labels) if "train" in self.parts else set()
        if known and "query" not in self.parts and not self.by_class:
            for name in self.parts:
                unseen = naturally(set(self.parts[name].labels) - known)
                if unseen:
                    raise DataError(
                        f"{self.source}: classes in the {name} part that are not in train: {first_few(unseen)}. Add "
                        "images of them to train, or name query and gallery images in a manifest to test on new classes"
                    )

    @property
    def listed(self) -> bool:
        """Whether lists say what answers a query, and labels do not."""
        query = self.parts.get("query")
        return query is not None and query.relevance is not None and query.relevance.positives is not None

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of all classes, in natural order."""
        return naturally(label for part in self.parts.values() for label in part.labels)


def with_test(parts: Mapping[str, Part], source: Path) -> dict[str, Part]:
    """Return the parts, the validation part as the test part where there is no other: it cannot be both."""
    if "validation" not in parts or {"test", "query"} & set(parts):
        return dict(parts)
    logger.warning("%s: no test part; the validation part is tested on, and a new one is cut from train", source)
    return {"train": parts["train"], "test": parts["validation"]}


def collect(listing: Listing, place: DataPlace, recipe: DecodeRecipe, *, mirror: bool) -> Collection:
    """Return a listing's files as pictures, each once however many parts it is in."""
    told = tuple(_left_out(listing.left_out))
    for warning in (*listing.warnings, *(line for line, lost in told if lost)):
        logger.warning("%s: %s", listing.source, warning)
    rows: dict[Source, int] = {}
    for part in listing.parts.values():
        for path in part.paths:
            rows.setdefault(path, len(rows))
    sources = list(rows)
    pictures = FilePixels.of(sources, place, recipe, what=str(listing.source))
    notes = (*listing.warnings, *(line for line, _ in told))
    if pictures.broken:
        notes = (_note(listing, rows, pictures.broken), *notes)
        kept = {
            name: part.only(row for row, path in enumerate(part.paths) if rows[path] not in pictures.broken)
            for name, part in listing.parts.items()
        }
        gone = [name for name, part in kept.items() if listing.parts[name] and not part]
        if gone:
            raise DataError(f"{listing.source}: none of the files of the {gone[0]} part can be read")
        listing = replace(listing, parts=kept)
    depth = _depth(sources, pictures.decoded(), recipe, "manifest" if listing.source.is_file() else "folder")
    for warning in depth:
        logger.warning("%s: %s", listing.source, warning)
    splits = _splits(listing, rows, pictures)
    return Collection(
        listing.name,
        listing.classes,
        mirror=mirror,
        train=splits["train"],
        validation=splits.get("validation"),
        test=splits.get("test"),
        query=splits.get("query"),
        gallery=splits.get("gallery"),
        notes=(*notes, *filter(None, [listing.by_class]), *depth),
    )


def _splits(listing: Listing, rows: Mapping[Source, int], pixels: LazyPixels) -> dict[str, Split]:
    """Return the parts with their images, rows of ``pixels``, and their labels as numbers of the listing's classes.

    The train part is always there, if empty.
    """
    numbers = {name: number for number, name in enumerate(listing.classes)}
    splits = {
        name: Split(
            Images(pixels, np.array([rows[path] for path in part.paths], np.int64)),
            np.array([numbers[label] for label in part.labels], np.int64),
            np.array(part.ids, np.str_),
            np.array(part.groups, np.str_) if part.groups else None,
            part.relevance,
        )
        for name, part in {"train": Part((), (), ()), **listing.parts}.items()
    }
    if "query" in splits:
        splits["query"] = splits["query"].answered_by(splits["gallery"].ids)  # of files left out, nothing is asked
    return splits


def suffix_of(path: str) -> str:
    """Return a file's suffix as counts name it: in lower case, "no suffix" where there is none."""
    return os.path.splitext(path)[1].lower() or "no suffix"


_LOOKED_AT = 16  # pictures whose highest value says what range a data set's values have
_SEEN = 8  # of 255: what is below is black to the eye
_BLACK = 256  # values below this have nothing in their upper 8 bits


def _depth(sources: Sequence[Source], pixels: Pixels, recipe: DecodeRecipe, plugin: str) -> tuple[str, ...]:
    """Return a warning where pictures of 16 bits use a fraction of their range, or more than the one that was given.

    Likewise where all pictures are black. pixels: of all sources, as decoded; plugin: the data set with the option.
    """
    some = sources[:: max(1, len(sources) // _LOOKED_AT)]
    found = [value for source in some if (value := highest_value(source)) is not None]
    if not found:
        highest = int(pixels[:: max(1, len(pixels) // _LOOKED_AT)].max(initial=0))
        black = f"of the pictures looked at, the highest value is {highest} of 255: all black, as masks of classes are"
        return (black,) if highest < _SEEN else ()
    top, grey = max(value for value, _ in found), all(grey for _, grey in found)
    told = f"of {len(found)} 16-bit pictures looked at, the highest value is {top:,}"
    if recipe.range is not None and grey:
        clipped = f"{told}, above the {recipe.range[1]:,} that value_range makes white"
        return (clipped,) if top > recipe.range[1] else ()
    if top >= 1 << 15:
        return ()
    left = "they are all black" if top < _BLACK else f"{(top >> 8) + 1} of 256 grey levels are left"
    if not grey:
        return (f"{told} of 65,535, so that {left}; value_range reads grey ones only: save colours with 8 bits",)
    range_ = f"value_range=0,{(1 << top.bit_length()) - 1 if top else 65535}"
    return (f"{told} of 65,535, so that {left}; --set datasets.{plugin}.{range_} uses all",)


def unread_pictures(counts: Mapping[str, int]) -> str:
    """Return what to add to a message where there are pictures of a format that is not read, with what to do."""
    kinds = sorted(kind for kind in counts if kind in PICTURES - SUFFIXES)
    if not kinds:
        return ""
    remedy = HEIC_EXTRA if set(kinds) <= set(HEIC_SUFFIXES) else "save them as PNG or JPEG"
    return f" ({', '.join(f'{counts[kind]:,} {kind}' for kind in kinds)} are not read here; {remedy})"


def _left_out(counts: Mapping[str, int]) -> Iterator[tuple[str, bool]]:
    """Yield in a line each what was left out, and whether it is pictures, which nobody expects."""
    for pictures in (True, False):
        some = {kind: count for kind, count in counts.items() if (kind in PICTURES) is pictures}
        if some:
            kinds = [f"{count:,} {kind}" for kind, count in sorted(some.items(), key=lambda one: (-one[1], one[0]))]
            listed = first_few(kinds, 8)
            if pictures:
                lost = f"{sum(some.values()):,} left out, in no class or of a format that is not read"
                yield f"pictures: {lost}: {listed}{unread_pictures(some)}", True
            else:
                yield f"left out: {listed}", False


def _note(listing: Listing, rows: Mapping[Source, int], broken: Mapping[int, str]) -> str:
    """Say in one line, with names that are the same on every machine, what was left out and why."""
    ids = {rows[path]: one for part in listing.parts.values() for path, one in zip(part.paths, part.ids, strict=True)}
    named = first_few([f"{ids[row]} ({reason})" for row, reason in broken.items()])
    return f"{len(broken):,} of {len(rows):,} image files left out, as they cannot be read: {named}"
