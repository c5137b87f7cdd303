"""What a similarity means: a threshold for any false-match rate, intervals of its rates, and odds under a prior."""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import binomtest

from bench.contract import DataError, Fitted, Measured, Point
from bench.evaluation.ranking.retrieval_set import RetrievalSet
from bench.evaluation.thresholds.operating_points import FEWEST_ERRORS, fit_thresholds

CONFIDENCE = 0.95


def point_at(fitted: Fitted, rate: float) -> Point:
    """Return the threshold for a false-match rate: the one fitted for it, or the loosest kept that is strict enough.

    A run keeps the ROC curve of its validation pairs at 33 false-match rates; between two of them the stricter one is
    taken, so that validation's rate is never above the one asked for. Raises DataError where fewer than 30 false
    matches would show the rate.
    """
    for point in fitted.points:
        if point.target == rate:
            return point
    if rate * fitted.different < FEWEST_ERRORS:
        lowest = FEWEST_ERRORS / fitted.different
        can = f"ask for {_rounded_up(lowest):g} or more" if lowest < 1 else "no rate can be had"
        raise DataError(
            f"too few pairs for a false-match rate of {rate:g}: {fitted.different:,} pairs of two classes, and "
            f"{FEWEST_ERRORS} of them have to match for a rate to be known; {can}"
        )
    strict = [one for one in fitted.roc if one[1] <= rate]
    if not strict:  # so many equal similarities that the curve has no such rate
        raise DataError(f"no threshold has a false-match rate of {rate:g} or less: the similarities are all alike")
    threshold, fmr, fnmr = max(strict, key=lambda one: (one[1], -one[2]))
    return Point(rate, threshold, fmr, fnmr)


def fit_on_half(data: RetrievalSet, *, seed: int = 0) -> tuple[Fitted | None, RetrievalSet]:
    """Fit thresholds on a seeded half of the gallery's images, and return them with what is left to measure them on.

    For data without a validation part. Labels of test are looked at; but no image is in both halves: one that is fitted
    on is no query and no item of the rest. None where the half has no pairs of both kinds. Raises DataError where no
    query of the rest has a relevant item, or lists say who is relevant: the gallery has no labels to fit on then.
    """
    if not data.labelled:
        raise DataError("thresholds are fitted on labels, and here lists say who is relevant: add a validation part")
    asking, found = data.images
    images = np.unique(found)
    drawn = np.random.default_rng((seed, 10)).permutation(images)[: len(images) // 2]
    taken = np.isin(found, drawn)
    fitted = fit_thresholds(data.gallery.take(np.flatnonzero(taken)), data.gallery_labels[taken], seed=seed)
    asks, stays = np.flatnonzero(~np.isin(asking, drawn)), np.flatnonzero(~taken)
    rest = RetrievalSet.of(
        data.query.take(asks),
        data.query_labels[asks],
        data.gallery.take(stays),
        data.gallery_labels[stays],
        query_ids=asking[asks],
        gallery_ids=found[stays],
        ignore=data.hidden.subset(asks).matrix(len(found))[:, stays],
        normalize=False,
    )
    return fitted, rest


def interval_of(wrong: int, pairs: int) -> tuple[float, float]:
    """Return the exact 95 % interval of a rate, were the pairs independent (Clopper and Pearson 1934).

    (0, 1) where there are no pairs. Pairs share images, so that the truth is wider.
    """
    if not pairs:
        return 0.0, 1.0
    found = binomtest(wrong, pairs).proportion_ci(CONFIDENCE, method="exact")
    return float(found.low), float(found.high)


def under_prior(probability: float, prior: float, fitted: Fitted) -> float:
    """Return how probable one class is where a pair shows one with the probability ``prior`` before it is looked at.

    probability: that at equal odds, as ``bench.evaluation.metrics.verification.probabilities`` says. Where the curve
    has no pair of a kind, half an unseen one is taken for it: nothing is certain after so many pairs.
    """
    likely = float(np.clip(probability, 0.5 / fitted.same, 1 - 0.5 / fitted.different))
    odds = likely / (1 - likely) * prior / (1 - prior)
    return odds / (1 + odds)


def share_of_matches(measured: Measured, prior: float) -> tuple[float, float]:
    """Return between what two shares of the pairs at or above a threshold are of one class, under a prior.

    By Bayes' rule from both rates; the ends are those of the intervals of the rates, the worse of both and the better.
    """
    false = interval_of(measured.false_matches, measured.different)
    right = interval_of(measured.same - measured.false_non_matches, measured.same)
    ends = []
    for share, mistaken in ((right[0], false[1]), (right[1], false[0])):
        matched = share * prior + mistaken * (1 - prior)
        ends.append(share * prior / matched if matched else 0.0)
    return ends[0], ends[1]


def _rounded_up(rate: float) -> float:
    """Return a rate in two digits, not less than it."""
    step = 10.0 ** (math.floor(math.log10(rate)) - 1)
    return float(f"{math.ceil(rate / step) * step:.2g}")
