"""What a similarity means for a finished run: its error rates on test, and how probable one class is under a prior."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.contract import DataError, Fitted, Measured, UsageError
from bench.evaluation.metrics.verification import curve_probabilities
from bench.evaluation.ranking.retrieval_set import RetrievalSet
from bench.evaluation.thresholds.meaning import fit_on_half, interval_of, point_at, share_of_matches, under_prior
from bench.evaluation.thresholds.operating_points import measure_at
from bench.runs.store import RunRecord

VALIDATION, TEST_HALF = "validation", "half of the gallery"


@dataclass(frozen=True)
class Meaning:
    """What a threshold does, and what a pair at it is.

    Attributes:
        measured: The threshold, the false-match rate that it was fitted for (None where a similarity was given), and
            its counts and rates on test.
        fitted_on: ``VALIDATION``; ``TEST_HALF`` where the run has no thresholds of validation pairs; None where neither
            has pairs of both kinds.
        fitted_fmr: The false-match rate on the pairs that were fitted on, None where a similarity was given.
        fitted_pairs: How many pairs of two classes there were to fit on.
        fmr_interval, fnmr_interval: Exact 95 % intervals, were pairs independent.
        prior: The probability that two pictures are of one class, before they are looked at.
        probability: That of a pair at exactly this similarity, None where nothing is fitted; equal_odds: the same
            where one class is as probable as two.
        matches_right: Between what two shares of the pairs at or above it are of one class.
    """

    measured: Measured
    fitted_on: str | None
    fitted_fmr: float | None
    fitted_pairs: int
    fmr_interval: tuple[float, float]
    fnmr_interval: tuple[float, float]
    prior: float
    probability: float | None
    equal_odds: float | None
    matches_right: tuple[float, float]


def threshold_at(record: RunRecord, data: RetrievalSet, rate: float, *, prior: float | None = None) -> Meaning:
    """Return the similarity from which two pictures are the same, at a false-match rate, and what it means.

    data: what the run ranked. prior: None for one class in those of the gallery. Raises DataError where there are too
    few pairs for the rate.
    """
    fitted, measured_on, fitted_on = _fitted(record, data)
    if fitted is None:
        raise DataError(
            f"{record.folder}: neither validation nor half of the gallery has pairs of one class and of two"
        )
    point = point_at(fitted, rate)
    measured = measure_at(point.threshold, measured_on, target=rate, seed=record.result.seed)
    return _meaning(measured, fitted, fitted_on, point.fmr, prior or prior_of(data))


def meaning_of(record: RunRecord, data: RetrievalSet, similarity: float, *, prior: float | None = None) -> Meaning:
    """Return what a pair of a similarity means; arguments as of ``threshold_at``."""
    fitted, measured_on, fitted_on = _fitted(record, data)
    measured = measure_at(similarity, measured_on, seed=record.result.seed)
    return _meaning(measured, fitted, fitted_on, None, prior or prior_of(data))


def prior_of(data: RetrievalSet) -> float:
    """Return one in so many classes as the gallery has: two pictures of classes drawn evenly.

    Raises DataError for one class, and where lists and no classes say who is relevant.

    The share of pairs of one class in test would be another prior; it is a fact of how many pictures of each class
    somebody collected.
    """
    if not data.labelled:
        raise DataError("lists say what answers a query here, and no classes: give --prior")
    classes = len(np.unique(data.gallery_labels))
    if classes < 2:
        raise DataError("the gallery has one class: two pictures are always of one; give --prior")
    return 1 / classes


def own_threshold(record: RunRecord) -> float:
    """Return a run's own threshold: that of the strictest false-match rate fitted on its validation pairs.

    Raises UsageError where it has none.
    """
    kept = record.result.thresholds
    if kept is None or not kept.validation.points:
        raise UsageError(f"{record.folder}: this run has no threshold of its own; give a similarity, such as 0.8")
    return min(kept.validation.points, key=lambda point: point.target).threshold


def _fitted(record: RunRecord, data: RetrievalSet) -> tuple[Fitted | None, RetrievalSet, str | None]:
    """Return what is fitted, what it is to be measured on, and what it was fitted on."""
    kept = record.result.thresholds
    if kept is not None:
        return kept.validation, data, VALIDATION
    fitted, rest = fit_on_half(data, seed=record.result.seed)
    return (None, data, None) if fitted is None else (fitted, rest, TEST_HALF)


def _meaning(
    measured: Measured, fitted: Fitted | None, fitted_on: str | None, fitted_fmr: float | None, prior: float
) -> Meaning:
    equal_odds = probability = None
    if fitted is not None:
        found = curve_probabilities(fitted, np.array([measured.threshold], np.float32))
        equal_odds = None if found is None else float(found[0])
        probability = None if equal_odds is None else under_prior(equal_odds, prior, fitted)
    return Meaning(
        measured=measured,
        fitted_on=fitted_on,
        fitted_fmr=fitted_fmr,
        fitted_pairs=0 if fitted is None else fitted.different,
        fmr_interval=interval_of(measured.false_matches, measured.different),
        fnmr_interval=interval_of(measured.false_non_matches, measured.same),
        prior=prior,
        probability=probability,
        equal_odds=equal_odds,
        matches_right=share_of_matches(measured, prior),
    )
