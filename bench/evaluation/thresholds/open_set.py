"""Open set: is the class of this query in the gallery at all? The similarity to the nearest item decides.

A query is rejected where its nearest item's similarity is below a threshold, which is fitted on validation so that
95 % of its images, each asking all the others, are accepted. A test query whose class the gallery lacks should be
rejected. Where all classes are there, each query also plays the unknown: its own class is left out of its gallery.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import roc_auc_score

from bench.evaluation.ranking.arrays import Floats, Ints, Scores

ACCEPTED = 0.95  # the usual operating point of out-of-distribution detection (Hendrycks and Gimpel, ICLR 2017)


@dataclass(frozen=True)
class Rejection:
    """A threshold for the nearest item: queries with a less similar one are rejected.

    accepted, detected: shares on validation of known queries accepted, and of the same queries rejected once their
    class is left out; NaN with one class.
    """

    threshold: float
    accepted: float
    detected: float


@dataclass(frozen=True)
class OpenSet:
    """How well unknown queries are separated from known ones on test.

    left_out: whether the unknown ones are the known ones without their class (no query's class was missing).
    auroc: chance that a known query's nearest item is more similar than an unknown one's, a tie counted half.
    detected: unknown queries rejected; refused: known queries rejected; both at the threshold, over unknown and known.
    """

    left_out: bool
    threshold: float
    auroc: float
    detected: int
    unknown: int
    refused: int
    known: int


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
