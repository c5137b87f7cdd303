"""Protocols: how a collection is cut into what a method is trained on and what it is evaluated on.

Ours are the functions marked ``@protocol`` here, under their own names (the table is in docs/metrics); a package brings
its own through the entry-point group ``simbench.protocols``. Everybody else asks a protocol for what it says of itself
(`bench.contract.EvaluationProtocol`), never for its name.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bench.contract import FIRST, Collection, DataError, Dataset, Draw, EvaluationProtocol, Split, UsageError
from bench.data.splits.answers import relevant_items
from bench.data.splits.fingerprint import fingerprint
from bench.data.splits.splits import at_most, some_of, stratified_cut, validation_cut
from bench.data.splits.subsets import (
    Subset,
    fewer_to_learn,
    limited,
    pooled,
    reordered,
    whole_classes_out,
    with_classes,
)
from bench.plugins import PROTOCOL, protocol
from bench.registry import find_plugins, get_protocol

AUTO = "auto"
_NOTHING_LEARNT = (
    "no training part: methods that use no labels are given the gallery's pictures in its place, without their labels"
)
QUERY_FRACTION = 0.2  # of the test images that a cut makes into queries
VALIDATION_FRACTION = 0.1  # of the training images, where the collection has no validation part of its own

_FEWEST_UNSEEN = 4  # classes that protocol unseen needs: two to tell apart in training, and two in the test


@protocol("test")
def holdout(collection: Collection, seed: int) -> Collection:
    """A fifth of each class's test images are the queries, the rest the gallery."""
    return _queries_of(collection, collection.parts()["test"], seed)


@protocol("test", query_in_gallery=True)
def loo(collection: Collection, seed: int) -> Collection:
    """Leave-one-out: every test image is a query, and all the others are the gallery."""
    del seed
    return replace(collection, query=collection.test, gallery=collection.test)


@protocol("test")
def single_shot(collection: Collection, seed: int) -> Collection:
    """One test image of each class, drawn by the split seed, is the gallery; all the others are the queries."""
    test = collection.parts()["test"]
    taken = at_most(test.labels, 1, seed)
    rest = np.setdiff1d(np.arange(len(test)), taken)
    return replace(collection, query=test.subset(rest), gallery=test.subset(taken))


@protocol("test", gallery_is_train=True)
def database(collection: Collection, seed: int) -> Collection:
    """The test images are the queries, the training images the gallery."""
    del seed
    return replace(collection, query=collection.test, gallery=collection.train)


@protocol("test", draws_classes=True)
def unseen(collection: Collection, draw: Draw) -> Collection:
    """Trained on half of the classes, evaluated like holdout on the other half."""
    test = collection.parts()["test"]
    found, asked = _half_of_the_classes(collection, test, draw, "protocol unseen", "the test part's images")
    return _queries_of(found, asked, seed_of(draw))


@protocol("test", query_in_gallery=True, draws_classes=True)
def unseen_loo(collection: Collection, draw: Draw) -> Collection:
    """Trained on half of the classes, all parts pooled; every image of the other half asks all the others of them."""
    every = pooled([part for name, part in collection.parts().items() if name in ("train", "validation", "test")])
    whole = replace(collection, train=every, validation=None)
    found, asked = _half_of_the_classes(whole, every, draw, "protocol unseen_loo", "all images")
    return replace(found, query=asked, gallery=asked)


@protocol("query", "gallery")
def given(collection: Collection, seed: int) -> Collection:
    """The queries and the gallery that the data name."""
    del seed
    return collection


def build_dataset(
    collection: Collection,
    protocol: str = AUTO,
    *,
    split_seed: Draw = 0,
    subset: Subset = Subset(),  # noqa: B008 - frozen, and all of the data
) -> Dataset:
    """Cut a collection by a protocol.

    protocol: a name, or "auto" for the collection's own, else ``given`` where it names its queries, else ``holdout``.
    split_seed: of every choice here; "first" is seed 0, with the classes to test on not drawn but the second half in
    their order. subset: what of the collection is used.
    Raises UsageError for an unknown protocol, for "first" where no classes are drawn, and for validation on whole
    classes where those to test on are trained on; DataError where the collection does not fit the protocol.
    """
    chosen = get_protocol(_default_of(collection) if protocol == AUTO else protocol)
    if split_seed == FIRST and not chosen.draws_classes:
        known = " and ".join(cut.__name__ for cut in (unseen, unseen_loo))
        raise UsageError(f"protocol {chosen} draws no classes: split seed {FIRST} is for {known}")
    seed = seed_of(split_seed)
    if subset.classes is not None:
        collection = with_classes(collection, subset.classes, seed)
    if subset.limit is not None:
        collection = limited(collection, subset.limit, seed)
    collection = _cut(collection, chosen, split_seed)
    if subset.validation == "classes":
        _require_new_classes(collection, chosen)
        collection = whole_classes_out(collection, seed)
    train, validation, notes = fewer_to_learn(collection.train, collection.validation, subset, seed)
    if validation is None:
        rest, taken = validation_cut(train.labels, VALIDATION_FRACTION, seed)
        train, validation = train.subset(rest), train.subset(taken)
    if not len(train):
        notes += (_NOTHING_LEARNT,)
    asked = collection.parts()
    notes += _of_relevance(asked["query"])
    parts = {"train": train, "validation": validation, "query": asked["query"], "gallery": asked["gallery"]}
    return Dataset(
        name=collection.name,
        protocol=chosen,
        classes=collection.classes,
        mirror=collection.mirror,
        fingerprint=fingerprint(collection.classes, parts),
        notes=(*collection.notes, *notes),
        metrics=collection.metrics,
        collection_digest=collection.digest,
        ks=collection.ks,
        **parts,
    )


def _of_relevance(query: Split) -> tuple[str, ...]:
    """Return notes on who answers a query where its label alone does not say it."""
    notes = []
    if query.groups is not None:
        notes.append("an item of a query's own class and group is ignored")
    if query.listed:
        notes.append(
            "lists say what answers a query: there are no scores that need labels (means of classes, intervals over "
            "other classes, knn_accuracy, and how vectors of classes lie)"
        )
    if query.relevance is not None and query.relevance.ignored is not None:
        count = sum(map(len, query.relevance.ignored))
        notes.append(f"{count:,} pairs of a query and an item are ignored: neither answers nor mistakes")
    return tuple(notes)


def _require_new_classes(collection: Collection, chosen: EvaluationProtocol) -> None:
    if np.isin(collection.parts()["query"].labels, collection.train.labels).any():
        known = " or ".join(cut.__name__ for cut in (unseen, unseen_loo))
        raise UsageError(
            f"--validation classes is for classes to test on that are not trained on, and protocol {chosen} asks for "
            f"trained ones of {collection.name}; use {known}, or --validation images"
        )


def seed_of(draw: Draw) -> int:
    """Return the seed of a draw's other choices."""
    return 0 if draw == FIRST else draw


def obstacles(collection: Collection) -> dict[str, str]:
    """Return for each protocol why the collection cannot be cut by it, or nothing where it can."""
    found = {}
    for name in find_plugins(PROTOCOL):
        try:
            _cut(collection, get_protocol(name), 0)
        except DataError as error:
            found[name] = str(error)
        else:
            found[name] = ""
    return found


def _default_of(collection: Collection) -> str:
    """Return the protocol that "auto" stands for."""
    return collection.protocol or (holdout if collection.query is None else given).__name__


def _cut(collection: Collection, chosen: EvaluationProtocol, draw: Draw) -> Collection:
    """Return a collection with the query and the gallery of a protocol. Raises DataError where there can be none."""
    parts = collection.parts()
    if any(part not in parts for part in chosen.needs):
        needed = f"{' and '.join(f'a {part}' for part in chosen.needs)} part"
        raise DataError(
            f"{collection.name}: protocol {chosen} needs {needed}, and there is none; use protocol "
            f"{_default_of(collection)}"
        )
    found = chosen.cut(collection, draw if chosen.draws_classes else seed_of(draw))
    query, gallery = (found.parts()[name] for name in ("query", "gallery"))
    _check(f"{collection.name}, protocol {chosen}", query, gallery, inside=chosen.query_in_gallery)
    return found


def _queries_of(collection: Collection, test: Split, seed: int) -> Collection:
    """Return the collection with some images of each class to test on as queries, and the rest as the gallery."""
    rest, taken = stratified_cut(test.labels, QUERY_FRACTION, seed, least=1, lone_taken=True)
    return replace(collection, query=test.subset(taken), gallery=test.subset(rest))


def _half_of_the_classes(
    collection: Collection, test: Split, draw: Draw, rule: str, tested: str
) -> tuple[Collection, Split]:
    """Return what is learnt from, of one half of the classes, and the images to test on of the other half.

    The classes are renumbered, those learnt from first (one more of them where their number is odd). Only classes with
    images to learn from and two to test on can be on either side; the others are left out. rule, tested: the protocol
    and what of the other half it tests on, in the words of the note.
    """
    count = len(collection.classes)
    learnt, there = (np.bincount(part.labels, minlength=count) for part in (collection.train, test))
    usable = np.flatnonzero((learnt > 0) & (there > 1))
    if len(usable) < _FEWEST_UNSEEN:
        new = not ((learnt > 0) & (there > 0)).any()
        instead = f"; all classes to test on are new already, with protocol {holdout.__name__} too" if new else ""
        raise DataError(
            f"{collection.name}: {rule} needs {_FEWEST_UNSEEN} classes with images to learn from and two or "
            f"more to test on, half of them to train on; there are {len(usable)}{instead}"
        )
    half = (len(usable) + 1) // 2
    seen = usable[:half] if draw == FIRST else usable[some_of(len(usable), half, draw)]
    others = np.setdiff1d(usable, seen)
    found = reordered(replace(collection, test=test), np.concatenate([seen, others]))
    asked = found.parts()["test"]
    asked = asked.subset(np.flatnonzero(asked.labels >= half))
    idle = int(learnt[others].sum()) if test is collection.test else 0  # pooled parts leave none unused
    unused = f" (whose {idle} training images are not used)" if idle else ""
    drawn = "the second half in the data set's order" if draw == FIRST else f"chosen by split seed {draw}"
    note = f"{rule}: trained on {half} classes, tested on {tested} of {len(others)} others{unused}, {drawn}"
    validation = None if found.validation is None else _of_first(found.validation, half)
    learning = replace(found, train=_of_first(found.train, half), validation=validation)
    return replace(learning, notes=(*collection.notes, note)), asked


def _of_first(part: Split, classes: int) -> Split:
    return part.subset(np.flatnonzero(part.labels < classes))


def _check(what: str, query: Split, gallery: Split, *, inside: bool) -> None:
    if not len(query) or not len(gallery):
        raise DataError(f"{what}: {len(query)} queries and {len(gallery)} gallery images; neither may be empty")
    if (query.groups is None) != (gallery.groups is None):
        raise DataError(f"{what}: queries and gallery both have groups, or neither; a part lacks them")
    if not query.listed and len(np.unique(gallery.labels)) < 2:
        raise DataError(f"{what}: the gallery has one class only, so that any ranking would score 1; add a second")
    if not relevant_items(query, gallery).any():
        whose = "of its positives" if query.listed else "image of its class"
        unseen = "" if query.groups is None else " outside of its group"
        raise DataError(f"{what}: no query has another {whose} in the gallery{unseen}; nothing can be found")
    if inside and not np.isin(query.ids, gallery.ids).all():
        raise DataError(f"{what}: it says that every query is in the gallery under its own id, and some are not")
