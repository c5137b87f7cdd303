"""How many gallery items answer each query: of its label or on its list, less itself and what it does not see."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from bench.contract import Split

if TYPE_CHECKING:
    from bench.contract import Labels


def relevant_items(query: Split, gallery: Split) -> Labels:
    """Return how many gallery items each query can find, int64 ``(q,)``."""
    relevance = query.relevance
    if relevance is not None and relevance.positives is not None:
        both = zip(relevance.positives, query.ids.tolist(), strict=True)
        return np.array([len(set(found) - {itself}) for found, itself in both], np.int64)
    if query.groups is None and relevance is None:
        return _of_label(query, gallery)
    alike = np.bincount(gallery.labels, minlength=int(query.labels.max(initial=0)) + 1)[query.labels]
    return alike - np.array([len(rows) for rows in _hidden_of_label(query, gallery)], np.int64)


def _of_label(query: Split, gallery: Split) -> Labels:
    """Return how many items have each query's label, and not its id."""
    classes = int(max(query.labels.max(initial=0), gallery.labels.max(initial=0))) + 1
    alike = np.bincount(gallery.labels, minlength=classes)[query.labels]
    _, number = np.unique(np.concatenate((query.ids, gallery.ids)), return_inverse=True)
    asked, there = np.split(number * classes + np.concatenate((query.labels, gallery.labels)), [len(query)])
    own = np.bincount(there, minlength=int(number.max() + 1) * classes)[asked]
    return (alike - own).astype(np.int64)


def _hidden_of_label(query: Split, gallery: Split) -> list[set[int]]:
    """Return the gallery rows with each query's label that it does not see: itself, its group, what it ignores."""
    labels = gallery.labels.tolist()
    row = {one: number for number, one in enumerate(gallery.ids.tolist())}
    members: dict[tuple[int, str], set[int]] = defaultdict(set)
    if query.groups is not None and gallery.groups is not None:
        for number, key in enumerate(zip(labels, gallery.groups.tolist(), strict=True)):
            members[key].add(number)
    groups = [""] * len(query) if query.groups is None else query.groups.tolist()
    passed = None if query.relevance is None else query.relevance.ignored
    found = []
    for number, (label, one, group) in enumerate(zip(query.labels.tolist(), query.ids.tolist(), groups, strict=True)):
        hidden = {row[other] for other in (one, *(passed[number] if passed else ())) if other in row}
        same = {other for other in hidden if labels[other] == label}
        found.append(same | members[label, group] if group else same)
    return found
