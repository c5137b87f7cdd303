"""How probable it is that a pair shows one class, read off the error rates of validation pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.isotonic import IsotonicRegression

from bench.evaluation.arrays import Floats, Scores


def probabilities(thresholds: Mapping[str, Any] | None, similarities: Scores) -> Floats | None:
    """Return the probability of one class for similarities, were both kinds of pair as frequent; None without a curve.

    From the curve of validation pairs in run.json: between two thresholds, the share of same pairs over both shares,
    made monotone by isotonic regression. Nothing of it is fitted on query or gallery.
    """
    roc = ((thresholds or {}).get("validation") or {}).get("roc")
    if not roc:
        return None
    limits, fmr, fnmr = np.array(roc, dtype=np.float64).T
    same = np.diff(np.concatenate([[0.0], fnmr, [1.0]]))
    different = -np.diff(np.concatenate([[1.0], fmr, [0.0]]))
    weight = same + different
    share = np.divide(same, weight, out=np.full_like(same, 0.5), where=weight > 0)
    steps = IsotonicRegression(y_min=0.0, y_max=1.0).fit_transform(
        np.arange(len(share)), share, sample_weight=np.maximum(weight, 1e-12)
    )
    return np.asarray(steps[np.searchsorted(limits, similarities, side="right")], dtype=np.float64)
