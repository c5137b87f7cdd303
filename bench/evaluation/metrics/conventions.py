"""The same ranking in other tools' numbers: they divide average precision by something else.

It works on our per-query arrays, float64 ``(q,)``; a query with R = 0 stays NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.contract import UsageError

DIALECTS = ("simbench", "trec", "oml", "torchmetrics")


def translate(per_query: Mapping[str, NDArray[Any]], dialect: str) -> dict[str, NDArray[Any]]:
    """Return the per-query arrays with every ``map@k`` in the dialect; all else, the full ``map`` too, is as it was.

    Ours divides by min(k, R). trec_eval (``map_cut``), ranx and MTEB divide by R ("trec"); OML and torchmetrics by the
    hits found in the first k, and say 0 if there is none.

    per_query: as in ``Evaluation.per_query``; needs ``relevant``, and ``recall@k`` beside each ``map@k``. With
    ``ties="mean"`` only ``trec`` is exact: a quotient of expectations is not the expectation of the quotient. Raises
    UsageError for an unknown dialect.
    """
    if dialect not in DIALECTS:
        raise UsageError(f"unknown dialect {dialect!r} (known: {', '.join(DIALECTS)})")
    translated = dict(per_query)
    if dialect == "simbench":
        return translated
    relevant = per_query["relevant"]
    for name, values in per_query.items():
        metric, _, cutoff = name.partition("@")
        if metric == "map" and cutoff.isdigit():
            total = values * np.minimum(int(cutoff), relevant)
            if dialect == "trec":
                translated[name] = total / np.maximum(relevant, 1)
            else:
                hits = np.round(per_query[f"recall@{cutoff}"] * relevant)
                found = np.divide(total, hits, out=np.zeros(len(total)), where=hits > 0)
                translated[name] = np.where(relevant > 0, found, np.nan)
    return translated
