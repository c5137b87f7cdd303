"""From which similarity on are two images the same? Thresholds fitted on validation, and what they do on test.

A pair is matched where its similarity is at or above the threshold. FMR, the false-match rate: matched pairs of
different labels, over all of them. FNMR, the false-non-match rate: pairs of one label not matched, over all of them
(ISO/IEC 19795-1). Nothing here is ever fitted on query or gallery.

Open set: is the class of this query in the gallery at all? A query is rejected where its nearest item's similarity is
below a threshold, fitted on validation so that 95 % of its images, each asking all the others, are accepted. Where all
classes are in the gallery, each query also plays the unknown: its own class is left out of its gallery.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import roc_auc_score

from bench.contract import Fitted, Measured, OnTest, OpenSet, Point, Rejection
from bench.evaluation.ranking.arrays import Floats, Ints, Scores
from bench.evaluation.ranking.backend import Problem
from bench.evaluation.ranking.relevance import Layout, as_names, number_names
from bench.evaluation.ranking.retrieval_set import RetrievalSet
from bench.evaluation.ranking.vectors import as_vectors, check_vectors

if TYPE_CHECKING:
    from bench.evaluation.ranking.relevance import NamesLike
    from bench.evaluation.ranking.vectors import VectorsLike

TARGETS = (1e-1, 1e-2, 1e-3)  # false-match rates to fit thresholds for
FEWEST_ERRORS = 30  # a rate is known to about a third if so many errors are seen (Doddington et al. 2000)
MOST_IMAGES = 1_000  # of validation: half a million pairs
MOST_QUERIES = 2_000  # of test, each with the whole gallery
_POINTS = 33  # of the ROC curve, evenly spaced in the logarithm of the false-match rate
ACCEPTED = 0.95  # the usual operating point of out-of-distribution detection (Hendrycks and Gimpel, ICLR 2017)
_BLOCK_SCORES = 4 << 20


def fit_thresholds(vectors: VectorsLike, labels: NamesLike, *, normalize: bool = True, seed: int = 0) -> Fitted | None:
    """Fit thresholds on all pairs of validation images, or of a seeded 1,000 of them.

    vectors ``(n, d)``, labels ``(n,)`` as for ``evaluate``. None where there are no pairs of both kinds.
    """
    rows = check_vectors(as_vectors(vectors, "validation"), "validation vectors", normalize=normalize)
    names = as_names(labels, len(rows), "validation labels")
    chosen = _some(len(rows), MOST_IMAGES, np.random.default_rng((seed, 7)))
    numbers, _ = number_names(names[chosen], names[chosen], "labels")
    taken = rows.take(chosen)
    scores = taken @ taken.T
    first, second = np.triu_indices(len(taken), k=1)
    alike = numbers[first] == numbers[second]
    same, different = np.sort(scores[first, second][alike]), np.sort(scores[first, second][~alike])
    if not len(same) or not len(different):
        return None
    eer, eer_threshold = equal_error(same, different)
    targets = [target for target in TARGETS if target * len(different) >= FEWEST_ERRORS]
    shares = np.unique(np.geomspace(1.0, 1.0 / len(different), _POINTS))[::-1].tolist()
    return Fitted(
        images=len(taken),
        same=len(same),
        different=len(different),
        eer=eer,
        eer_threshold=eer_threshold,
        points=tuple(Point(*one) for one in _curve(same, different, targets)),
        roc=tuple(one[1:] for one in _curve(same, different, shares)),
        rejection=fit_rejection(scores, numbers),
    )


def measure_thresholds(fitted: Fitted, data: RetrievalSet, *, seed: int = 0, device: str = "cpu") -> OnTest:
    """Count what the thresholds do on test: all pairs of the queries, or of a seeded 2,000 of them, and the gallery.

    Pairs that are excluded (one image asked against itself) are not counted. device: as for ``evaluate``, where vectors
    are multiplied and pairs counted.
    """
    wanted = [*((point.target, point.threshold) for point in fitted.points), (None, fitted.eer_threshold)]
    layout, points, nearest = _measured(wanted, data, seed, device)
    opened = measure_rejection(fitted.rejection, nearest[0], nearest[1], layout.items)
    return OnTest(queries=len(layout), points=points, open_set=opened)


def measure_at(threshold: float, data: RetrievalSet, *, target: float | None = None, seed: int = 0) -> Measured:
    """Count what one threshold does on test, on the pairs that ``measure_thresholds`` counts.

    target: the false-match rate that it was fitted for, None where it was for none.
    """
    return _measured([(target, threshold)], data, seed)[1][0]


def _measured(
    wanted: Sequence[tuple[float | None, float]], data: RetrievalSet, seed: int, device: str = "cpu"
) -> tuple[Layout, tuple[Measured, ...], Floats]:
    """Return the layout of the queries taken, what each (target, threshold) does, and similarities as ``_count``."""
    chosen = _some(len(data.query), MOST_QUERIES, np.random.default_rng((seed, 8)))
    layout = data.layout.subset(chosen)
    limits = np.array([threshold for _, threshold in wanted], dtype=np.float32)
    count = _count if device == "cpu" else partial(_count_there, device=device)
    matched, nearest = count(data, chosen, layout, limits)
    same = int(layout.relevant.sum())
    different = int(layout.items.sum()) - same
    points = tuple(
        Measured(target, threshold, int(false), different, same - int(right), same)
        for (target, threshold), right, false in zip(wanted, *matched, strict=True)
    )
    return layout, points, nearest


def equal_error(same: Scores, different: Scores) -> tuple[float, float]:
    """Return the equal error rate and the threshold nearest to it.

    same, different: ascending similarities of pairs of one label and of two, neither empty. Between two thresholds of
    the curve the rates are interpolated linearly; the threshold is the one of the two whose rates are closer.
    """
    steps = np.unique(np.concatenate((same, different)))
    fmr = np.append(1 - np.searchsorted(different, steps) / len(different), 0.0)  # and a threshold above all of them
    fnmr = np.append(np.searchsorted(same, steps) / len(same), 1.0)
    gap = fmr - fnmr  # falls from 1 to -1
    after = int(np.argmax(gap <= 0))
    before = max(after - 1, 0)
    width = gap[before] - gap[after]
    share = gap[before] / width if width else 0.0
    nearer = after if abs(gap[after]) <= abs(gap[before]) else before
    threshold = steps[nearer] if nearer < len(steps) else np.nextafter(steps[-1], np.float32(np.inf))
    return float(fmr[before] + share * (fmr[after] - fmr[before])), float(threshold)


def threshold_for(different: Scores, target: float) -> float:
    """Return the lowest float32 threshold that matches at most a share ``target`` of ``different`` (ascending)."""
    allowed = int(np.floor(target * len(different)))
    if allowed >= len(different):
        return float(different[0])
    return float(np.nextafter(different[len(different) - 1 - allowed], np.float32(np.inf), dtype=np.float32))


def _curve(same: Scores, different: Scores, targets: Iterable[float]) -> Iterator[tuple[float, float, float, float]]:
    """Yield each target with its threshold and the (FMR, FNMR) of that on ascending similarities."""
    for target in targets:
        threshold = threshold_for(different, target)
        fmr, fnmr = (np.searchsorted(kind, np.float32(threshold)) / len(kind) for kind in (different, same))
        yield target, threshold, float(1 - fmr), float(fnmr)


def _count(data: RetrievalSet, chosen: Ints, layout: Layout, limits: Scores) -> tuple[Ints, Floats]:
    """Return matched pairs, int64 ``(2, limits)``, and each query's highest similarity, ``(2, q)``.

    First of what is relevant to it, then of all else; -inf where there is no such pair.
    """
    matched, nearest = np.zeros((2, len(limits)), dtype=np.int64), np.full((2, len(chosen)), -np.inf)
    columns = data.gallery.take(layout.order)
    step = max(1, _BLOCK_SCORES // len(columns))
    for first in range(0, len(chosen), step):
        rows = slice(first, min(first + step, len(chosen)))
        scores = data.query.take(chosen[rows]) @ columns.T
        scores[layout.excluded.rows(rows)] = -np.inf
        own = layout.relevant_columns(rows)
        for kind, mask in enumerate((own, ~own)):
            part = np.where(mask, scores, -np.inf)
            nearest[kind, rows] = part.max(axis=1)
            matched[kind] += [np.count_nonzero(part >= limit) for limit in limits]
    return matched, nearest


def _count_there(
    data: RetrievalSet, chosen: Ints, layout: Layout, limits: Scores, *, device: str
) -> tuple[Ints, Floats]:
    """Do what ``_count`` does on a torch device."""
    from bench.evaluation.ranking.gpu import OnDevice  # noqa: PLC0415 - torch takes seconds

    ranker = OnDevice(Problem.of(data.query.some(chosen), data.gallery, layout, keep=1, full=True), device)
    step = ranker.fitting_rows()
    blocks = (slice(first, min(first + step, len(chosen))) for first in range(0, len(chosen), step))
    parts = [ranker.reached(rows, limits) for rows in blocks]
    return np.sum([matched for matched, _ in parts], axis=0), np.concatenate([nearest for _, nearest in parts], axis=1)


def _some(n: int, most: int, rng: np.random.Generator) -> Ints:
    return np.arange(n) if n <= most else np.sort(rng.choice(n, size=most, replace=False))


def fit_rejection(scores: Scores, labels: Ints) -> Rejection | None:
    """Return the threshold that accepts 95 % of images by their nearest other image.

    scores: float32 ``(n, n)`` similarities of all images; labels: int64 ``(n,)``. Images alone in their class are not
    asked. None where all are.
    """
    same = labels[:, None] == labels[None, :]
    others = np.where(np.eye(len(labels), dtype=np.bool_), -np.inf, scores)
    known = same.sum(axis=1) > 1
    if not known.any():
        return None
    nearest = np.sort(others.max(axis=1)[known])
    threshold = float(nearest[int(np.floor((1 - ACCEPTED) * len(nearest)))])
    left_out = np.where(same, -np.inf, scores).max(axis=1)[known]
    has = np.isfinite(left_out)
    detected = float((left_out[has] < threshold).mean()) if has.any() else float("nan")
    return Rejection(threshold, float((nearest >= threshold).mean()), detected)


def measure_rejection(rejection: Rejection | None, own: Floats, other: Floats, items: Ints) -> OpenSet | None:
    """Return how the threshold does on test queries, or None where there is none or no unknown query.

    own, other: float64 ``(q,)`` similarity of each query's nearest item of its class, and of other classes; -inf where
    there is none. items: N of each query; one with N = 0 is not asked.
    """
    if rejection is None:
        return None
    asked = items > 0
    has_class = np.isfinite(own) & asked
    left_out = bool(has_class[asked].all())
    known = np.maximum(own, other)[has_class]
    unknown = other[(has_class if left_out else asked & ~has_class) & np.isfinite(other)]
    if not len(known) or not len(unknown):
        return None
    truth = np.concatenate((np.ones(len(known)), np.zeros(len(unknown))))
    return OpenSet(
        left_out=left_out,
        threshold=rejection.threshold,
        auroc=float(roc_auc_score(truth, np.concatenate((known, unknown)))),
        detected=int((unknown < rejection.threshold).sum()),
        unknown=len(unknown),
        refused=int((known < rejection.threshold).sum()),
        known=len(known),
    )
