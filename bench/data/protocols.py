"""Protocols: how a collection is cut into what a method learns from and what it is asked about.

The table is in docs/metrics: ``holdout`` (the default), ``loo``, ``database``, and ``given`` for data that names its
own queries.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bench.contract import Collection, DataError, Dataset, Split, UsageError
from bench.data.fingerprint import fingerprint
from bench.data.splits import stratified_cut, stratified_limit
from bench.naming import did_you_mean

PROTOCOLS = ("holdout", "loo", "database", "given")
AUTO = "auto"


def build_dataset(
    collection: Collection,
    protocol: str = AUTO,
    *,
    split_seed: int = 0,
    validation_fraction: float = 0.1,
    query_fraction: float = 0.2,
    limit: int | None = None,
) -> Dataset:
    """Cut a collection by a protocol.

    protocol: one of PROTOCOLS, or "auto" for ``given`` where the collection names its own queries, else ``holdout``.
    validation_fraction: cut from train, stratified, unless the collection has its own validation part.
    query_fraction: of ``holdout``. limit: keep at most so many images of train and so many to test on, stratified.
    Raises UsageError for an unknown protocol, DataError where the collection does not fit the protocol.
    """
    protocol = resolve_protocol(collection, protocol)
    if limit is not None:
        collection = _limited(collection, limit, split_seed)
    query, gallery = cut_query_gallery(collection, protocol, query_fraction, split_seed)
    train, validation = collection.train, collection.validation
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
        notes=collection.notes,
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
    name, test = collection.name, collection.test
    if protocol == "given":
        if collection.query is None or collection.gallery is None:
            raise DataError(f"{name}: protocol given needs data that names its own query and gallery; use holdout")
        query, gallery = collection.query, collection.gallery
    elif test is None:
        raise DataError(f"{name}: protocol {protocol} needs a test part, and there is none; use protocol given")
    elif protocol == "holdout":
        rest, taken = stratified_cut(test.labels, query_fraction, split_seed, least=1, lone_taken=True)
        query, gallery = test.subset(taken), test.subset(rest)
    else:
        query, gallery = test, (test if protocol == "loo" else collection.train)
    _check(f"{name}, protocol {protocol}", query, gallery)
    return query, gallery


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


def _limited(collection: Collection, limit: int, seed: int) -> Collection:
    def kept(part: Split | None) -> Split | None:
        return None if part is None else part.subset(stratified_limit(part.labels, limit, seed))

    return replace(
        collection,
        train=collection.train.subset(stratified_limit(collection.train.labels, limit, seed)),
        validation=kept(collection.validation),
        test=kept(collection.test),
        query=kept(collection.query),
        gallery=kept(collection.gallery),
    )
