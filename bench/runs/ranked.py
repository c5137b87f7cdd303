"""What a run ranks and what it has ranked: vectors, and who answers whom, from its parts and again from its files."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from bench.contract import Dataset, Split
from bench.evaluation.ranking.arrays import Vectors
from bench.evaluation.ranking.lists import Lists
from bench.evaluation.ranking.retrieval_set import RetrievalSet
from bench.runs.artifacts import PER_QUERY, read_arrays, read_vectors
from bench.runs.store import RunRecord

_LISTS = ("positives", "hidden")
GAINS = "positives_gains"  # in a run's file of values for each query: one number for each of its positives


def ranked_parts(
    query: Vectors, asked: Split, gallery: Vectors, there: Split, *, normalize: bool = False
) -> RetrievalSet:
    """Lay out vectors of two parts, float32 ``(q, d)`` and ``(N, d)``, by the labels, groups and lists of these."""
    relevance = asked.relevance
    positives = None if relevance is None else relevance.positives
    grouped = asked.groups is not None and there.groups is not None
    return RetrievalSet.of(
        query,
        asked.labels if positives is None else None,
        gallery,
        there.labels if positives is None else None,
        query_ids=asked.ids,
        gallery_ids=there.ids,
        query_groups=asked.groups if grouped else None,
        gallery_groups=there.groups if grouped else None,
        positives=positives,
        gains=None if relevance is None else relevance.gains,
        ignore=None if relevance is None else relevance.ignored,
        normalize=normalize,
    )


def kept_lists(data: RetrievalSet, dataset: Dataset) -> dict[str, NDArray[Any]]:
    """Return as arrays who answers whom, where labels and ids alone do not say it; see ``read_lists``."""
    if dataset.query.groups is None and dataset.query.relevance is None:
        return {}
    lists = {name: found for name in _LISTS if (found := getattr(data, name)) is not None}
    columns = {name: one.columns for name, one in lists.items()}
    gains = None if data.positives is None else data.positives.gains
    worth = {} if gains is None else {GAINS: gains}
    return columns | {f"{name}_offsets": one.offsets for name, one in lists.items()} | worth


def read_lists(record: RunRecord) -> dict[str, Lists]:
    """Return a run's lists of gallery positions, ``positives`` and ``hidden``; nothing where labels say it."""
    kept = read_arrays(record, PER_QUERY)
    return {
        name: Lists(kept[name], kept[f"{name}_offsets"], kept.get(f"{name}_gains"))
        for name in _LISTS
        if f"{name}_offsets" in kept
    }


def ranked_set(record: RunRecord, *, normalize: bool = True) -> RetrievalSet:
    """Read what a finished run ranked. Raises DataError where its files lack something."""
    vectors, lists = read_vectors(record), read_lists(record)
    names = read_arrays(record, PER_QUERY, "ids", "labels", "gallery_ids", "gallery_labels")
    listed = {name: one.matrix(len(names["gallery_ids"])) for name, one in lists.items()}
    positives = listed.get("positives")
    return RetrievalSet.of(
        vectors["query"],
        names["labels"] if positives is None else None,
        vectors["gallery"],
        names["gallery_labels"] if positives is None else None,
        query_ids=names["ids"],
        gallery_ids=names["gallery_ids"],
        positives=positives,
        gains=lists["positives"].gain_matrix(len(names["gallery_ids"])) if "positives" in lists else None,
        ignore=listed.get("hidden"),
        normalize=normalize,
        train=vectors.get("train"),
    )
