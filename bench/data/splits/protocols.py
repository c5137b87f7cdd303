"""Protocols: how a collection is cut into what a method learns from and what it is asked about.

The table is in docs/metrics: ``holdout`` (the default), ``loo``, ``database``, ``unseen`` (classes that
were not trained on), and ``given`` for data that names its own queries.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bench.contract import Collection, DataError, Dataset, Split, UsageError
from bench.data.splits.fingerprint import fingerprint
from bench.data.splits.splits import some_of, stratified_cut
from bench.data.splits.subsets import Subset, fewer_to_learn, limited, reordered, with_classes
from bench.naming import did_you_mean

PROTOCOLS = ("holdout", "loo", "database", "unseen", "given")
AUTO = "auto"

_FEWEST_UNSEEN = 4  # classes that protocol unseen needs: two to tell apart in training, and two in the test


def build_dataset(
    collection: Collection,
    protocol: str = AUTO,
    *,
    split_seed: int = 0,
    validation_fraction: float = 0.1,
    query_fraction: float = 0.2,
    subset: Subset = Subset(),  # noqa: B008 - frozen, and all of the data
) -> Dataset:
    """Cut a collection by a protocol.

    protocol: one of PROTOCOLS, or "auto" for ``given`` where the collection names its own queries, else ``holdout``.
    split_seed: of every choice here. validation_fraction: cut from train, stratified, unless the collection has its
    own validation part. query_fraction: of ``holdout`` and ``unseen``. subset: what of the collection is used.
    Raises UsageError for an unknown protocol, DataError where the collection does not fit the protocol.
    """
    protocol = resolve_protocol(collection, protocol)
    if subset.classes is not None:
        collection = with_classes(collection, subset.classes, split_seed)
    if subset.limit is not None:
        collection = limited(collection, subset.limit, split_seed)
    collection, query, gallery = _cut(collection, protocol, query_fraction, split_seed)
    train, validation, notes = fewer_to_learn(collection.train, collection.validation, subset, split_seed)
    if validation is None:
        rest, taken = stratified_cut(train.labels, validation_fraction, split_seed)
        train, validation = train.subset(rest), train.subset(taken)
    parts = {"train": train, "validation": validation, "query": query, "gallery": gallery}
    return Dataset(
        name=collection.name,
        protocol=protocol,
        classes=collection.classes,
        mirror=collection.mirror,
        fingerprint=fingerprint(collection.classes, parts),
        notes=(*collection.notes, *notes),
        **parts,
    )


def resolve_protocol(collection: Collection, protocol: str) -> str:
    """Return the protocol's name, "auto" resolved. Raises UsageError for a name that is none."""
    if protocol == AUTO:
        return "holdout" if collection.query is None else "given"
    if protocol not in PROTOCOLS:
        known = (AUTO, *PROTOCOLS)
        raise UsageError(
            f"unknown protocol {protocol!r}{did_you_mean(protocol, known)} (there are: {', '.join(known)})"
        )
    return protocol


def cut_query_gallery(
    collection: Collection, protocol: str, query_fraction: float = 0.2, split_seed: int = 0
) -> tuple[Split, Split]:
    """Return the query and the gallery of a protocol. Raises DataError where the collection cannot give them."""
    return _cut(collection, protocol, query_fraction, split_seed)[1:]


def _cut(
    collection: Collection, protocol: str, query_fraction: float, split_seed: int
) -> tuple[Collection, Split, Split]:
    """Return what there is to learn from, the query, and the gallery."""
    name, test = collection.name, collection.test
    if protocol == "given":
        if collection.query is None or collection.gallery is None:
            raise DataError(f"{name}: protocol given needs data that names its own query and gallery; use holdout")
        query, gallery = collection.query, collection.gallery
    elif test is None:
        raise DataError(f"{name}: protocol {protocol} needs a test part, and there is none; use protocol given")
    elif protocol in ("holdout", "unseen"):
        if protocol == "unseen":
            collection, test = _half_of_the_classes(collection, test, split_seed)
        rest, taken = stratified_cut(test.labels, query_fraction, split_seed, least=1, lone_taken=True)
        query, gallery = test.subset(taken), test.subset(rest)
    else:
        query, gallery = test, (test if protocol == "loo" else collection.train)
    _check(f"{name}, protocol {protocol}", query, gallery)
    return collection, query, gallery


def _half_of_the_classes(collection: Collection, test: Split, seed: int) -> tuple[Collection, Split]:
    """Return what is learnt from, of one half of the classes, and the test images of the other half.

    The classes are renumbered, those learnt from first (one more of them where their number is odd). Only classes with
    images to learn from and two to test on can be on either side; the others are left out.
    """
    count = len(collection.classes)
    learnt, tested = (np.bincount(part.labels, minlength=count) for part in (collection.train, test))
    usable = np.flatnonzero((learnt > 0) & (tested > 1))
    if len(usable) < _FEWEST_UNSEEN:
        raise DataError(
            f"{collection.name}: protocol unseen needs {_FEWEST_UNSEEN} classes with images to learn from and two or "
            f"more to test on, half of them to train on; there are {len(usable)}"
        )
    half = (len(usable) + 1) // 2
    seen = usable[some_of(len(usable), half, seed)]
    unseen = np.setdiff1d(usable, seen)
    found = reordered(replace(collection, test=test), np.concatenate([seen, unseen]))
    asked = found.parts()["test"]
    note = (
        f"protocol unseen: trained on {half} classes, tested on the test part's images of {len(unseen)} others (whose "
        f"{int(learnt[unseen].sum())} training images are not used), chosen by split seed {seed}"
    )
    return (
        replace(
            found,
            train=_of_first(found.train, half),
            validation=None if found.validation is None else _of_first(found.validation, half),
            notes=(*collection.notes, note),
        ),
        asked.subset(np.flatnonzero(asked.labels >= half)),
    )


def _of_first(part: Split, classes: int) -> Split:
    return part.subset(np.flatnonzero(part.labels < classes))


def obstacles(collection: Collection) -> dict[str, str]:
    """Return for each protocol why the collection cannot be cut by it, or nothing where it can."""
    found = {}
    for protocol in PROTOCOLS:
        try:
            cut_query_gallery(collection, protocol)
        except DataError as error:
            found[protocol] = str(error)
        else:
            found[protocol] = ""
    return found


def _check(what: str, query: Split, gallery: Split) -> None:
    if not len(query) or not len(gallery):
        raise DataError(f"{what}: {len(query)} queries and {len(gallery)} gallery images; neither may be empty")
    in_gallery = len(np.unique(gallery.labels))
    if in_gallery < 2:
        raise DataError(f"{what}: the gallery has one class only, so that any ranking would score 1; add a second")
    counts = np.bincount(gallery.labels, minlength=int(query.labels.max()) + 1)
    others = counts[query.labels] - np.isin(query.ids, gallery.ids)  # an image is no answer to itself
    if not (others > 0).any():
        raise DataError(f"{what}: no query has another image of its class in the gallery; nothing can be found")
