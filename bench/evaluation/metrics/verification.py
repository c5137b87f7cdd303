"""How well one threshold on the similarity tells same from different: ROC area and equal error rate over pairs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import auc, roc_curve

from bench.contract import Fitted, Thresholds
from bench.evaluation.ranking.arrays import Floats, Ints, Scores
from bench.evaluation.ranking.lists import Lists
from bench.evaluation.ranking.relevance import Layout
from bench.evaluation.ranking.retrieval_set import RetrievalSet
from bench.evaluation.ranking.vectors import Rows

PAIRS_OF_A_KIND = 10_000  # the standard error of the area is then below 0.004
_BLOCK = 1_000  # pairs whose vectors are held at once


def pair_metrics(data: RetrievalSet, *, pairs: int = PAIRS_OF_A_KIND, seed: int = 0) -> tuple[float, float]:
    """Return ``pair_auc`` and ``pair_eer`` over seeded query-gallery pairs, as many relevant ones as others.

    A pair: a query drawn evenly from those that have an item of that kind, and one such item drawn evenly; items
    excluded for the query (its own image) are never drawn. Similarity: the inner product in float32. Both are NaN where
    no pair of one kind exists; see ``area_and_equal_error`` for ties.
    """
    layout, rng = data.layout, np.random.default_rng((seed, 2))
    same, different = layout.relevant, layout.items - layout.relevant
    if not same.any() or not different.any():
        return float("nan"), float("nan")
    scores = np.empty(2 * pairs, dtype=np.float32)
    for half, sizes in ((slice(0, pairs), same), (slice(pairs, None), different)):
        query = rng.choice(np.flatnonzero(sizes), size=pairs)
        place = rng.integers(0, sizes[query])
        column = _same(layout, query, place) if sizes is same else _different(layout, query, place)
        scores[half] = _similarity(data.query, data.gallery, query, layout.order[column])
    return area_and_equal_error(np.repeat([1, 0], pairs), scores)


def area_and_equal_error(truth: Ints, scores: Scores | Floats) -> tuple[float, float]:
    """Return the area under the ROC curve, and the error rate where same and different pairs are misjudged alike.

    truth: 1 for same, 0 for different, both occur; scores: the same shape. The area counts a tie as half. The equal
    error rate is where the share of same pairs refused meets the share of different pairs accepted; between two
    thresholds of the curve, both are interpolated linearly.
    """
    false_accept, true_accept, _ = roc_curve(truth, scores, drop_intermediate=False)
    false_reject = 1.0 - true_accept
    crossing = np.interp(0.0, false_accept - false_reject, false_accept)
    return float(auc(false_accept, true_accept)), float(crossing)


def _similarity(queries: Rows, gallery: Rows, query: Ints, item: Ints) -> Scores:
    scores = np.empty(len(query), dtype=np.float32)
    for first in range(0, len(query), _BLOCK):
        part = slice(first, first + _BLOCK)
        scores[part] = np.einsum("ij,ij->i", queries.take(query[part]), gallery.take(item[part]))
    return scores


def _same(layout: Layout, query: Ints, place: Ints) -> Ints:
    """Return the column of the ``place``-th relevant item (from 0) of each query, excluded ones not counted."""
    if layout.positives is not None:
        listed: Ints = layout.positives.columns[layout.positives.offsets[query] + place].astype(np.int64)
        return listed
    hidden, inside = layout.excluded, _of_own_label(layout)
    own = Lists(hidden.columns - layout.start[hidden.query], hidden.offsets).where(inside)
    return layout.start[query] + own.unlisted(query, place)


def _different(layout: Layout, query: Ints, place: Ints) -> Ints:
    """Return the column of the ``place``-th item that is not relevant, excluded ones not counted.

    By label, columns are counted as if the relevant ones were cut out and the rest joined.
    """
    if layout.positives is not None:
        return layout.excluded.joined(layout.positives).unlisted(query, place)
    hidden, size = layout.excluded, layout.stop - layout.start
    after = hidden.columns >= layout.stop[hidden.query]
    others = Lists(hidden.columns - after * size[hidden.query], hidden.offsets).where(~_of_own_label(layout))
    joined = others.unlisted(query, place)
    return np.where(joined < layout.start[query], joined, joined + size[query])


def _of_own_label(layout: Layout) -> NDArray[np.bool_]:
    """Return which excluded cells have their query's label."""
    hidden = layout.excluded
    inside: NDArray[np.bool_] = (hidden.columns >= layout.start[hidden.query]) & (
        hidden.columns < layout.stop[hidden.query]
    )
    return inside


def probabilities(thresholds: Thresholds | None, similarities: Scores) -> Floats | None:
    """Return the probability of one class for similarities, were both kinds of pair as frequent; None without a curve.

    From the curve of validation pairs in run.json: between two thresholds, the share of same pairs over both shares,
    made monotone by isotonic regression. Nothing of it is fitted on query or gallery.
    """
    return None if thresholds is None else curve_probabilities(thresholds.validation, similarities)


def curve_probabilities(fitted: Fitted, similarities: Scores) -> Floats | None:
    """Return what ``probabilities`` does, from the curve of whatever pairs were fitted on."""
    if not fitted.roc:
        return None
    limits, fmr, fnmr = np.array(fitted.roc, dtype=np.float64).T
    same = np.diff(np.concatenate([[0.0], fnmr, [1.0]]))
    different = -np.diff(np.concatenate([[1.0], fmr, [0.0]]))
    weight = same + different
    share = np.divide(same, weight, out=np.full_like(same, 0.5), where=weight > 0)
    steps = IsotonicRegression(y_min=0.0, y_max=1.0).fit_transform(
        np.arange(len(share)), share, sample_weight=np.maximum(weight, 1e-12)
    )
    return np.asarray(steps[np.searchsorted(limits, similarities, side="right")], dtype=np.float64)
