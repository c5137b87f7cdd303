"""The same ranking in other tools' numbers: they divide average precision by something else.

All functions are pure and work on our per-query arrays, float64 ``(q,)``; a query with R = 0 stays NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.contract import UsageError
from bench.evaluation.ranking.arrays import Floats, Ints

DIALECTS = ("simbench", "trec", "oml", "torchmetrics")


def trec_average_precision(map_at_k: Floats, relevant: Ints, k: int) -> Floats:
    """Return AP@k as trec_eval (``map_cut``), ranx and MTEB print it: divided by R, ours by min(k, R).

    The full ``map`` is the same in both.
    """
    converted: Floats = map_at_k * np.minimum(k, relevant) / np.maximum(relevant, 1)
    return converted


def found_average_precision(map_at_k: Floats, recall_at_k: Floats, relevant: Ints, k: int) -> Floats:
    """Return AP@k as OML and torchmetrics print it: divided by the hits found in the first k; 0 if there is none."""
    hits = np.round(recall_at_k * relevant)
    total = map_at_k * np.minimum(k, relevant)
    converted = np.divide(total, hits, out=np.zeros(len(total)), where=hits > 0)
    return np.where(relevant > 0, converted, np.nan)


def translate(per_query: Mapping[str, NDArray[Any]], dialect: str) -> dict[str, NDArray[Any]]:
    """Return the per-query arrays with every ``map@k`` in the dialect; all else is as it was.

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
            k = int(cutoff)
            translated[name] = (
                trec_average_precision(values, relevant, k)
                if dialect == "trec"
                else found_average_precision(values, per_query[f"recall@{k}"], relevant, k)
            )
    return translated
