"""Using less than all of a data set: some classes, fewer images a class. Seeded, and test images stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from bench.contract import Collection, DataError, Images, Split, UsageError
from bench.data.splits.splits import at_most, some_of, stratified_limit
from bench.naming import did_you_mean, first_few, tidied

if TYPE_CHECKING:
    from bench.contract import Labels


@dataclass(frozen=True)
class Subset:
    """What of a collection is used.

    classes: names, or one number: so many, chosen by the seed; per_class: images a class to learn from, validation
    included; balance: as many images to learn from of every class as the smallest has; limit: images of train, and
    images to test on, stratified; labels_per_class: see `bench.data.splits.subsets`; validation: whether images of the
    classes to learn from validate, or whole classes that are not learnt from.
    """

    classes: tuple[str, ...] | None = None
    per_class: int | None = None
    balance: bool = False
    limit: int | None = None
    labels_per_class: int | None = None
    validation: Literal["images", "classes"] = "images"

    def __post_init__(self) -> None:
        for flag, value in (("--per-class", self.per_class), ("--labels-per-class", self.labels_per_class)):
            if value is not None and value < 1:
                raise UsageError(f"{flag} must be 1 or more, got {value}")
        if self.per_class is not None and self.labels_per_class is not None:
            raise UsageError("give --per-class or --labels-per-class, not both: each limits what is learnt from")
        if self.labels_per_class is not None and self.validation == "classes":
            raise UsageError(
                "--labels-per-class holds out images of the classes it learns from; leave out --validation classes, or "
                "give --per-class"
            )


def with_classes(collection: Collection, wanted: Sequence[str], seed: int) -> Collection:
    """Return the images of some classes, whose labels are renumbered without gaps.

    wanted: names, or one whole number: so many classes by the seed (a trailing comma, ``3,``, makes it a name).
    Raises UsageError for a name that is none, and for fewer than two classes.
    """
    alike = {tidied(one): one for one in collection.classes}
    names = [alike.get(tidied(word), word) for word in wanted if word]
    known = collection.classes
    if len(wanted) == 1 and names and names[0].isdecimal() and len(names[0]) < 10:
        count = int(names[0])
        if not 2 <= count <= len(known):
            raise UsageError(f"--classes {count}: {collection.name} has {len(known)}; give 2 to {len(known)}")
        chosen = some_of(len(known), count, seed)
        note = f"{count} of {len(known)} classes, chosen by split seed {seed}"
    else:
        strange = [name for name in names if name not in known]
        if strange:
            shown = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
            raise UsageError(
                f"--classes: {collection.name} has no class {strange[0]!r}{did_you_mean(strange[0], known)} "
                f"(it has: {shown}{_about_commas(known)})"
            )
        chosen = np.flatnonzero(np.isin(known, names))
        if len(chosen) < 2:
            raise UsageError(f"--classes: name two or more, got {', '.join(names) or 'none'}")
        note = f"{len(chosen)} of {len(known)} classes"
    told = f"{note}: {', '.join(known[number] for number in chosen[:20])}{', ...' if len(chosen) > 20 else ''}"
    return replace(reordered(collection, chosen), notes=(*collection.notes, told))


def _about_commas(known: Sequence[str]) -> str:
    """Say how a class with a comma in its name is named, where there is one."""
    one = next((name for name in known if "," in name), "")
    return f"; with a comma in quotes: '\"{one}\"'" if one else ""


def reordered(collection: Collection, order: Labels) -> Collection:
    """Return the images of the classes in ``order``, which get the labels 0, 1, 2, ... in that order."""
    number = np.full(len(collection.classes), -1, np.int64)
    number[order] = np.arange(len(order))

    def kept(part: Split) -> Split:
        some = part.subset(np.flatnonzero(number[part.labels] >= 0))
        return replace(some, labels=number[some.labels])

    classes = tuple(collection.classes[at] for at in order)
    return replace(collection, classes=classes, **_each(collection, kept))  # type: ignore[arg-type] # parts are splits


def _each(collection: Collection, cut: Callable[[Split], Split]) -> dict[str, Split]:
    """Return every part with fewer images, and the queries' relevance without what left the gallery."""
    parts = {name: cut(part) for name, part in collection.parts().items()}
    if "query" in parts:
        parts["query"] = parts["query"].answered_by(parts["gallery"].ids)
    return parts


def pooled(parts: Sequence[Split]) -> Split:
    """Return parts as one, an image that is in several of them once.

    Pixels are copied only where they lie in more than one array.
    """
    source = parts[0].images.source
    if all(part.images.source is source for part in parts):
        rows = [np.arange(len(part)) if part.images.rows is None else part.images.rows for part in parts]
        images = Images(source, np.concatenate(rows))
    else:
        images = Images(np.concatenate([part.images.take(slice(None)) for part in parts]))
    ids = np.concatenate([part.ids for part in parts])
    groups = [part.groups for part in parts if part.groups is not None]
    if len(groups) not in (0, len(parts)):
        raise DataError("some parts have groups and others none: they cannot be pooled")
    labels = np.concatenate([part.labels for part in parts])
    whole = Split(images, labels, ids, np.concatenate(groups) if groups else None)
    return whole.subset(np.sort(np.unique(ids, return_index=True)[1]).astype(np.int64))


def limited(collection: Collection, limit: int, seed: int) -> Collection:
    """Return at most so many images of each part, stratified."""
    parts = _each(collection, lambda part: part.subset(stratified_limit(part.labels, limit, seed)))
    note = f"at most {limit} images a part, split seed {seed}"
    return replace(collection, **parts, notes=(*collection.notes, note))  # type: ignore[arg-type] # as above


def fewer_to_learn(
    train: Split, validation: Split | None, subset: Subset, seed: int
) -> tuple[Split, Split | None, tuple[str, ...]]:
    """Cut what is learnt from to its smallest class and to the label budget; return it with notes that say so.

    A validation part of the data's own shares ``per_class`` in proportion, class by class, but never takes all of it.
    With ``labels_per_class`` the validation part is what that holds out, which may be nothing.
    """
    notes: tuple[str, ...] = ()
    if subset.balance:
        smallest = _smallest(train)
        train = train.subset(at_most(train.labels, smallest, seed))
        if validation is not None:
            validation = validation.subset(at_most(validation.labels, _smallest(validation), seed))
        notes += (f"balanced: {smallest} training images of every class, split seed {seed}",)
    if subset.per_class is not None:
        budget = subset.per_class
        most = np.full(int(train.labels.max(initial=0)) + 1, budget)
        if validation is not None:
            classes = max(len(most), int(validation.labels.max(initial=0)) + 1)
            learn, check = (np.bincount(part.labels, minlength=classes) for part in (train, validation))
            share = np.where(learn + check > budget, budget * check // np.maximum(learn + check, 1), check)
            validation = validation.subset(at_most(validation.labels, share[: _classes(validation)], seed))
            most = (budget - share)[: len(most)]
        train = train.subset(at_most(train.labels, most, seed))
        notes += (f"at most {budget} images a class to learn from, validation included, split seed {seed}",)
    if subset.labels_per_class is not None:
        train, validation, note = within_budget(train, validation, subset.labels_per_class, seed)
        notes += (note,)
    return train, validation, notes


_VALIDATING = 0.25  # of the classes to learn from: as one of the four folds of Musgrave et al. (ECCV 2020)
_FEWEST_CLASSES = 2  # to rank among each other, and to learn from


def whole_classes_out(collection: Collection, seed: int) -> Collection:
    """Return a collection whose validation part is all images of a quarter of the classes to learn from, two at least.

    They are drawn by the seed from those with two images or more; what the data had for validation is pooled with the
    training images before. Raises DataError where there are no two to validate on beside two to learn from.
    """
    learnt = pooled([part for part in (collection.train, collection.validation) if part is not None])
    counts = np.bincount(learnt.labels, minlength=len(collection.classes))
    there, several = np.flatnonzero(counts), np.flatnonzero(counts > 1)
    take = max(_FEWEST_CLASSES, round(_VALIDATING * len(there)))
    if len(several) < take or len(there) - take < _FEWEST_CLASSES:
        raise DataError(
            f"{collection.name}: --validation classes needs {_FEWEST_CLASSES} classes to learn from and "
            f"{_FEWEST_CLASSES} others, of two images or more, to validate on; there are {len(there)} in all"
        )
    taken = np.sort(np.random.default_rng([seed, 3]).permutation(several)[:take])
    held = np.isin(learnt.labels, taken)
    named = first_few([collection.classes[number] for number in taken], 5)
    note = f"validated on {take} classes that are not trained on, drawn by split seed {seed}: {named}"
    train, validation = (learnt.subset(np.flatnonzero(rows)) for rows in (~held, held))
    return replace(collection, train=train, validation=validation, notes=(*collection.notes, note))


def _smallest(part: Split) -> int:
    counts = np.bincount(part.labels)
    return int(counts[counts > 0].min(initial=len(part)))


_SHARE = 10  # one in so many labelled images is held out for validation, as without a budget
_FEWEST = 2  # of a class: the map that chooses an epoch ranks each image among the others


def within_budget(train: Split, validation: Split | None, budget: int, seed: int) -> tuple[Split, Split, str]:
    """Cut what is learnt from to at most ``budget`` labelled images a class; return train, validation and a note.

    Validation uses labels too, so it is part of the budget: a tenth of a class's labelled images, from the data's own
    validation part where there is one. A class for which a tenth is less than two (fewer than 20 labelled images) gives
    none, and without any validation a method keeps its last epoch. The held-out images are the last to be labelled:
    what a smaller budget learns from, a larger one learns from as well. (But for 19: it learns from one more than 20,
    where holding out begins.)
    """
    counts = np.bincount(train.labels)
    if validation is None:
        labelled = np.minimum(counts, budget)
        held = _held_out(labelled)
        every, learnt = (at_most(train.labels, most, seed) for most in (labelled, labelled - held))
        checked = train.subset(np.setdiff1d(every, learnt))
    else:
        own = np.bincount(validation.labels, minlength=len(counts))
        most = np.minimum(np.pad(counts, (0, len(own) - len(counts))) + own, budget)
        held = np.minimum(_held_out(most), own)
        held[held < _FEWEST] = 0
        learnt = at_most(train.labels, (budget - held)[: len(counts)], seed)
        checked = validation.subset(at_most(validation.labels, held[: _classes(validation)], seed))
    used = "validation included" if len(checked) else "none held out for validation, so that the last epoch is kept"
    return train.subset(learnt), checked, f"at most {budget} labelled images a class, {used}, split seed {seed}"


def _held_out(labelled: Labels) -> Labels:
    """Return how many of each class's labelled images validate, int64 ``(classes,)``."""
    tenth = labelled // _SHARE
    return np.where(tenth >= _FEWEST, tenth, 0)


def _classes(part: Split) -> int:
    return int(part.labels.max(initial=-1)) + 1
