"""From which similarity on are two images the same? Thresholds fitted on validation, and what they do on test.

A pair is matched where its similarity is at or above the threshold. FMR, the false-match rate: matched pairs of
different labels, over all of them. FNMR, the false-non-match rate: pairs of one label not matched, over all of them
(ISO/IEC 19795-1). Nothing here is ever fitted on query or gallery.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.evaluation.ranking.arrays import Floats, Ints, Scores
from bench.evaluation.ranking.relevance import Layout, as_names, number_names
from bench.evaluation.ranking.retrieval_set import RetrievalSet
from bench.evaluation.ranking.vectors import as_vectors, check_vectors
from bench.evaluation.thresholds.open_set import OpenSet, Rejection, fit_rejection, measure_rejection

if TYPE_CHECKING:
    from bench.evaluation.ranking.relevance import NamesLike
    from bench.evaluation.ranking.vectors import VectorsLike

TARGETS = (1e-1, 1e-2, 1e-3)  # false-match rates to fit thresholds for
FEWEST_ERRORS = 30  # a rate is known to about a third if so many errors are seen (Doddington et al. 2000)
MOST_IMAGES = 1_000  # of validation: half a million pairs
MOST_QUERIES = 2_000  # of test, each with the whole gallery
_POINTS = 33  # of the ROC curve, evenly spaced in the logarithm of the false-match rate
_BLOCK_SCORES = 4 << 20


@dataclass(frozen=True)
class Point:
    """A threshold with its rates on the pairs it was fitted on; target: the false-match rate that was asked for."""

    target: float
    threshold: float
    fmr: float
    fnmr: float


@dataclass(frozen=True)
class Fitted:
    """What validation pairs say.

    images: how many; same, different: pairs of one label and of two. eer: the equal error rate, and eer_threshold
    where it is. points: one for each target whose false matches would be 30 or more. roc: (threshold, FMR, FNMR),
    FMR falling. rejection: the threshold for a query's nearest item, None where no class has two images.
    """

    images: int
    same: int
    different: int
    eer: float
    eer_threshold: float
    points: tuple[Point, ...]
    roc: tuple[tuple[float, float, float], ...]
    rejection: Rejection | None


@dataclass(frozen=True)
class Measured:
    """What a fitted threshold does on test: exact counts over all pairs of the queries used and the gallery."""

    target: float | None
    threshold: float
    false_matches: int
    different: int
    false_non_matches: int
    same: int

    @property
    def fmr(self) -> float:
        return self.false_matches / self.different if self.different else float("nan")

    @property
    def fnmr(self) -> float:
        return self.false_non_matches / self.same if self.same else float("nan")


@dataclass(frozen=True)
class OnTest:
    """queries: how many were used; points: as in ``Fitted``, then the equal error threshold's (target None)."""

    queries: int
    points: tuple[Measured, ...]
    open_set: OpenSet | None


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
    return Fitted(
        images=len(taken),
        same=len(same),
        different=len(different),
        eer=eer,
        eer_threshold=eer_threshold,
        points=tuple(_fit(same, different, target) for target in TARGETS if target * len(different) >= FEWEST_ERRORS),
        roc=tuple(_curve(same, different)),
        rejection=fit_rejection(scores, numbers),
    )


def measure_thresholds(fitted: Fitted, data: RetrievalSet, *, seed: int = 0) -> OnTest:
    """Count what the thresholds do on test: all pairs of the queries, or of a seeded 2,000 of them, and the gallery.

    Pairs that are excluded (one image asked against itself) are not counted.
    """
    chosen = _some(len(data.query), MOST_QUERIES, np.random.default_rng((seed, 8)))
    layout = data.layout.subset(chosen)
    wanted = [(point.target, point.threshold) for point in fitted.points] + [(None, fitted.eer_threshold)]
    limits = np.array([threshold for _, threshold in wanted], dtype=np.float32)
    matched, nearest = _count(data, chosen, layout, limits)
    same = int(layout.relevant.sum())
    different = int(layout.items.sum()) - same
    return OnTest(
        queries=len(chosen),
        points=tuple(
            Measured(target, threshold, int(false), different, same - int(right), same)
            for (target, threshold), right, false in zip(wanted, *matched, strict=True)
        ),
        open_set=measure_rejection(fitted.rejection, nearest[0], nearest[1], layout.items),
    )


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


def _fit(same: Scores, different: Scores, target: float) -> Point:
    threshold = threshold_for(different, target)
    return Point(target, threshold, *_rates(same, different, threshold))


def _rates(same: Scores, different: Scores, threshold: float) -> tuple[float, float]:
    """Return (FMR, FNMR) of a threshold on ascending similarities."""
    limit = np.float32(threshold)
    fmr = 1 - np.searchsorted(different, limit) / len(different)
    return float(fmr), float(np.searchsorted(same, limit) / len(same))


def _curve(same: Scores, different: Scores) -> Iterator[tuple[float, float, float]]:
    for target in np.unique(np.geomspace(1.0, 1.0 / len(different), _POINTS))[::-1]:
        threshold = threshold_for(different, float(target))
        yield (threshold, *_rates(same, different, threshold))


def _count(data: RetrievalSet, chosen: Ints, layout: Layout, limits: Scores) -> tuple[Ints, Floats]:
    """Return matched pairs, int64 ``(2, limits)``, and each query's highest similarity, ``(2, q)``.

    First of its own label, then of other labels; -inf where there is no such pair.
    """
    matched, nearest = np.zeros((2, len(limits)), dtype=np.int64), np.full((2, len(chosen)), -np.inf)
    columns = data.gallery.take(layout.order)
    step = max(1, _BLOCK_SCORES // len(columns))
    for first in range(0, len(chosen), step):
        rows = slice(first, min(first + step, len(chosen)))
        scores = data.query.take(chosen[rows]) @ columns.T
        scores[layout.excluded_of(rows)] = -np.inf
        own = _own(layout, rows)
        for kind, mask in enumerate((own, ~own)):
            part = np.where(mask, scores, -np.inf)
            nearest[kind, rows] = part.max(axis=1)
            matched[kind] += [np.count_nonzero(part >= limit) for limit in limits]
    return matched, nearest


def _own(layout: Layout, rows: slice) -> NDArray[np.bool_]:
    """Return which pairs of some queries and all columns have one label."""
    place = np.arange(layout.columns)
    own: NDArray[np.bool_] = (place >= layout.start[rows, None]) & (place < layout.stop[rows, None])
    return own


def _some(n: int, most: int, rng: np.random.Generator) -> Ints:
    return np.arange(n) if n <= most else np.sort(rng.choice(n, size=most, replace=False))
