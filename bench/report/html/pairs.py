"""Pairs of a query and a gallery image: drawn by seed, and how probable it is that both show one class."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from bench.contract import SimbenchError, pair_scorer_of
from bench.evaluation.inference.embed import to_floats
from bench.evaluation.ranking.arrays import Floats, Ints, Scores, Vectors
from bench.evaluation.ranking.lists import Lists
from bench.report.html.thumbnails import Pictures
from bench.report.tables.groups import Answers
from bench.runs.loaded_run import open_run
from bench.runs.store import RunRecord

_LOG = logging.getLogger(__name__)


def own_probabilities(record: RunRecord, pairs: Pairs, pictures: Pictures) -> Floats | None:
    """Return the method's own probability of each pair, float64 ``(k,)``; None where it gives none."""
    if not record.result.has_weights:
        return None
    try:
        run = open_run(record.folder, torch.device("cpu"))
    except SimbenchError as error:
        _LOG.warning("%s: its own pair probabilities are left out: %s", record.folder, error)
        return None
    scorer = pair_scorer_of(run.method)
    if scorer is None:
        return None
    data = pictures.dataset
    sides = (data.query.images.take(pairs.query), data.gallery.images.take(pairs.item))
    left, right = (to_floats(np.ascontiguousarray(side), torch.device("cpu")) for side in sides)
    with torch.inference_mode():
        _, probability = scorer.pair_score(left, right)
    return np.asarray(probability.float().numpy(), dtype=np.float64)


DRAWN = 10_000  # pairs of a kind for the histogram
SHOWN = 3  # pairs of a kind that are shown for every method
_TRIES = 20  # draws for a pair of a kind, before a query is given up


@dataclass(frozen=True)
class Pairs:
    """Query rows and gallery rows, int64 ``(k,)`` each, and whether both are of one class, bool ``(k,)``."""

    query: Ints
    item: Ints
    same: np.ndarray[tuple[int], np.dtype[np.bool_]]

    def take(self, index: Any) -> Pairs:
        return Pairs(self.query[index], self.item[index], self.same[index])

    def similarities(self, query: Vectors, gallery: Vectors) -> Scores:
        """Return the inner products, float32 ``(k,)``."""
        return np.asarray(np.einsum("ij,ij->i", query[self.query], gallery[self.item]), dtype=np.float32)


def draw_pairs(answers: Answers, *, count: int = DRAWN, seed: int = 0) -> Pairs:
    """Return up to ``count`` pairs of one class, then as many of two; never an image with itself.

    Where lists say what answers a query: pairs of a query and what does, then of a query and something else.
    """
    rng = np.random.default_rng((seed, 11))
    order = np.argsort(answers.gallery_labels, kind="stable")
    ordered = answers.gallery_labels[order]
    parts = []
    for same in (True, False):
        query = rng.integers(0, len(answers.labels), count)
        item = np.full(count, -1, dtype=np.int64)
        for _ in range(_TRIES):
            open_ = np.flatnonzero(item < 0)
            if not len(open_):
                break
            labels = answers.labels[query[open_]]
            if same and answers.positives is not None:
                tried = _listed(answers.positives, query[open_], rng)
            elif same:
                first, last = np.searchsorted(ordered, labels), np.searchsorted(ordered, labels, side="right")
                place = first + (rng.random(len(open_)) * (last - first)).astype(np.int64)
                tried = order[np.minimum(place, len(order) - 1)]
            else:
                tried = rng.integers(0, len(order), len(open_))
            fits = (answers.right(query[open_], tried) == same) & answers.seen(query[open_], tried)
            item[open_[fits]] = tried[fits]
        there = item >= 0
        parts.append(Pairs(query[there], item[there], np.full(int(there.sum()), same)))
    return Pairs(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("query", "item", "same")))


def _listed(lists: Lists, query: Ints, rng: np.random.Generator) -> Ints:
    """Return one item drawn of each query's list; the first item of all where it is empty, which does not fit then."""
    cell = lists.offsets[query] + (rng.random(len(query)) * lists.sizes[query]).astype(np.int64)
    return np.where(lists.sizes[query] > 0, lists.columns[np.minimum(cell, len(lists.columns) - 1)], 0)


def examples(pairs: Pairs) -> Ints:
    """Return which pairs are shown for every method: the first of each kind, no two of one query."""
    chosen: list[int] = []
    for same in (True, False):
        seen: set[int] = set()
        for at in np.flatnonzero(pairs.same == same).tolist():
            if len(seen) < SHOWN and pairs.query[at] not in seen:
                seen.add(pairs.query[at])
                chosen.append(at)
    return np.array(chosen, dtype=np.int64)


def most_mistaken(pairs: Pairs, similarities: Scores) -> list[tuple[str, int]]:
    """Return the least similar pair of one class and the most similar of two, each with its name."""
    found = []
    for same, name, sign in ((True, "least alike of one class", 1), (False, "most alike of two classes", -1)):
        rows = np.flatnonzero(pairs.same == same)
        if len(rows):
            found.append((name, int(rows[np.argmin(sign * similarities[rows])])))
    return found
