"""The data audit: copies between what is learnt from and what is asked, copies within a part, labels that disagree.

Finding copies reads every pixel, so what was found is kept in the cache, by the data's fingerprint.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.contract import Audit, DataError, Dataset, Images, Overlap
from bench.data.audit.duplicates import VERSION, Copies, find_copies, load_copies, save_copies
from bench.data.decoding.cache import AUDITS
from bench.data.splits.answers import relevant_items
from bench.data.splits.fingerprint import fingerprint

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.contract import Labels, Progress

    Flags = NDArray[np.bool_]

_EXAMPLES = 5


@dataclass(frozen=True)
class _View:
    """A data set's images, each once, in the order in which the parts name them.

    where: each part's images as numbers into them; labels, names: of each image.
    """

    images: tuple[Images, ...]
    where: Mapping[str, Labels]
    labels: Labels
    names: NDArray[np.str_]

    def members(self, *parts: str) -> Flags:
        flags = np.zeros(len(self.labels), np.bool_)
        for part in parts:
            flags[self.where[part]] = True
        return flags


def audit(dataset: Dataset, cache: Path | None = None, progress: Progress | None = None) -> Audit:
    """Look for copies, leaks and labels that disagree. With a cache, what was found before is not looked for again."""
    view = _view(dataset)
    copies = _copies(dataset, view, cache, progress)
    learnt = view.members("train", "validation")
    query, gallery = view.members("query"), view.members("gallery")
    leaks = [_overlap(copies, ("query", query), ("train", learnt), itself=True)]
    overlaps = [_overlap(copies, ("train", learnt), ("train", learnt))]
    if not dataset.protocol.gallery_is_train:
        leaks.append(_overlap(copies, ("gallery", gallery), ("train", learnt), itself=True))
        overlaps.append(_overlap(copies, ("gallery", gallery), ("gallery", gallery)))
    overlaps.append(_overlap(copies, ("query", query), ("gallery", gallery)))
    listed = dataset.query.listed  # then labels of both say nothing: they neither disagree nor are missed
    conflicts, examples = (0, ()) if listed else _conflicts(dataset, view, copies)
    asked = np.isin(np.arange(len(dataset.classes)), dataset.query.labels)
    there = np.isin(np.arange(len(dataset.classes)), dataset.gallery.labels)
    return Audit(
        queries=len(dataset.query),
        scored=int((relevant_items(dataset.query, dataset.gallery) > 0).sum()),
        leaks=tuple(leak for leak in leaks if leak.found),
        overlaps=tuple(overlap for overlap in overlaps if overlap.found),
        conflicts=conflicts,
        examples=examples,
        unasked=() if listed else tuple(dataset.classes[number] for number in np.flatnonzero(there & ~asked)),
    )


def without_leaks(dataset: Dataset, cache: Path | None = None, progress: Progress | None = None) -> Dataset:
    """Leave out of train and validation every image that is a copy of a query or gallery image, and say how many.

    Raises DataError if nothing is left to train on.
    """
    view = _view(dataset)
    copies = _copies(dataset, view, cache, progress)
    asked = view.members("query") if dataset.protocol.gallery_is_train else view.members("query", "gallery")
    exact, near, _ = _has_copy(copies, asked, itself=True)
    leaked = (exact | near) & view.members("train", "validation")
    kept = {name: np.flatnonzero(~leaked[view.where[name]]) for name in ("train", "validation")}
    if not len(kept["train"]):
        raise DataError(f"{dataset.name}: every training image is a copy of one to test on; nothing is left to learn")
    note = f"--drop-leaks: {int(leaked.sum())} of {len(dataset.train) + len(dataset.validation)} training images "
    notes = (*dataset.notes, note + "are copies of images to test on, and left out")
    if not leaked.any():
        return replace(dataset, notes=notes)
    train, validation = (getattr(dataset, name).subset(rows) for name, rows in kept.items())
    clean = replace(dataset, train=train, validation=validation, notes=notes)
    clean = replace(clean, fingerprint=fingerprint(dataset.classes, clean.parts()))
    if cache is not None:  # the same copies, less those left out: what is rare enough to count is not asked again
        order = np.concatenate([view.where[name][kept.get(name, slice(None))] for name in view.where])
        _, first = np.unique(order, return_index=True)
        save_copies(_place(clean, cache), _restricted(copies, order[np.sort(first)]))
    return clean


def _view(dataset: Dataset) -> _View:
    """Number the images through; the same row of the same array is the same image, whichever parts name it."""
    known: dict[int, tuple[object, Labels]] = {}  # of each array, the number of each of its rows; the array lives on
    images, labels, names, where = [], [], [], {}
    count = 0
    for name, part in dataset.parts().items():
        looked_at = part.images.as_loaded  # so that every method's data have the same copies
        source = looked_at.source
        _, numbers = known.setdefault(id(source), (source, np.full(len(source), -1, np.int64)))
        rows = np.arange(len(source)) if looked_at.rows is None else looked_at.rows
        new = np.flatnonzero(numbers[rows] < 0)
        numbers[rows[new]] = count + np.arange(len(new))
        count += len(new)
        where[name] = numbers[rows]
        images.append(looked_at.subset(new))
        labels.append(part.labels[new])
        names.append(part.ids[new])
    return _View(tuple(images), where, np.concatenate(labels), np.concatenate(names))


def _has_copy(copies: Copies, there: Flags, *, itself: bool = False) -> tuple[Flags, Flags, Flags]:
    """Return for each image whether it has an exact copy among those there, a near one only, a mirrored one only.

    itself: whether an image that is there itself counts as its own copy.
    """
    groups = int(copies.group.max(initial=-1)) + 1
    count = np.bincount(copies.group[there], minlength=groups)
    exact = count[copies.group] > (0 if itself else there.astype(np.int64))
    near, upright = np.zeros(groups, np.bool_), np.zeros(groups, np.bool_)
    for one, other in ((copies.first, copies.second), (copies.second, copies.first)):
        near[one[count[other] > 0]] = True
        upright[one[(count[other] > 0) & ~copies.mirrored]] = True
    near_only = near[copies.group] & ~exact
    return exact, near_only, near_only & ~upright[copies.group]


def _overlap(copies: Copies, part: tuple[str, Flags], other: tuple[str, Flags], *, itself: bool = False) -> Overlap:
    exact, near, mirrored = _has_copy(copies, other[1], itself=itself)
    counts = (int((flags & part[1]).sum()) for flags in (exact, near, mirrored))
    return Overlap(part[0], other[0], int(part[1].sum()), *counts)


def _conflicts(dataset: Dataset, view: _View, copies: Copies) -> tuple[int, tuple[str, ...]]:
    """Count groups and near pairs of more than one label, and tell the first few: exact ones before near ones."""
    groups = int(copies.group.max(initial=-1)) + 1
    low, high = np.full(groups, np.iinfo(np.int64).max), np.full(groups, -1)
    np.minimum.at(low, copies.group, view.labels)
    np.maximum.at(high, copies.group, view.labels)
    equal = np.flatnonzero(low < high)
    apart = np.flatnonzero((low[copies.first] != low[copies.second]) | (high[copies.first] != high[copies.second]))
    examples: list[tuple[int, int, str]] = []
    for group in equal[:_EXAMPLES]:
        rows = np.flatnonzero(copies.group == group)
        examples.append((int(rows[0]), int(rows[np.argmax(view.labels[rows] != view.labels[rows[0]])]), "equals"))
    for pair in apart[: _EXAMPLES - len(examples)]:
        one, other = (int(np.argmax(copies.group == end[pair])) for end in (copies.first, copies.second))
        examples.append((one, other, "is a near copy of"))

    def named(row: int) -> str:
        return f"{view.names[row]} ({dataset.classes[view.labels[row]]})"

    return len(equal) + len(apart), tuple(f"{named(one)} {how} {named(other)}" for one, other, how in examples)


def _copies(dataset: Dataset, view: _View, cache: Path | None, progress: Progress | None) -> Copies:
    path = None if cache is None else _place(dataset, cache)
    known = None if path is None else load_copies(path)
    if known is not None and len(known.group) == len(view.labels):
        return known
    found = find_copies(view.images, mirror=dataset.mirror, progress=progress)
    if path is not None:
        save_copies(path, found)
    return found


def _restricted(copies: Copies, rows: Labels) -> Copies:
    """Return the copies among some of the images, numbered in the order given."""
    groups, group = np.unique(copies.group[rows], return_inverse=True)
    place = np.full(int(copies.group.max(initial=-1)) + 1, -1)
    place[groups] = np.arange(len(groups))
    first, second = place[copies.first], place[copies.second]
    stay = (first >= 0) & (second >= 0)
    return Copies(group.reshape(-1).astype(np.int64), first[stay], second[stay], copies.mirrored[stay])


def _place(dataset: Dataset, cache: Path) -> Path:
    mirror = "-mirror" if dataset.mirror else ""
    return cache / AUDITS / f"{dataset.fingerprint[:32]}{mirror}-v{VERSION}.npz"
