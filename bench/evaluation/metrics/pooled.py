"""All pairs of queries and items in one ranking: can one threshold for all queries tell answers from the rest?"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np

from bench.environment import blas_threads
from bench.evaluation.ranking.arrays import Ints, Scores
from bench.evaluation.ranking.backend import Problem
from bench.evaluation.ranking.kernel import count_block
from bench.evaluation.ranking.retrieval_set import RetrievalSet
from bench.evaluation.ranking.whole_rows import WholeRows, fitting_rows

MICRO_AP, RECALL_AT_P90 = "micro_ap", "recall_at_p90"
_PRECISION = 0.9


def pooled_scores(data: RetrievalSet, asked: Collection[str]) -> dict[str, float]:
    """Return ``micro_ap`` and ``recall_at_p90``, those that are asked for.

    The pairs that a query may see are put in one order by similarity, those of queries without an answer among them;
    equal ones stand against the answers. With w the rank of the p-th of P answers in it: micro_ap is the mean of p / w,
    recall_at_p90 the largest p / P with p / w >= 0.9, 0 where there is none. Source: Douze et al., The 2021 Image
    Similarity Dataset and Challenge, 2021. It multiplies all vectors twice, and holds P similarities.
    """
    if not {MICRO_AP, RECALL_AT_P90} & set(asked):
        return {}
    with blas_threads(1):
        ranks = _pooled_ranks(data)
    place = np.arange(1, len(ranks) + 1)
    precision = place / ranks
    found = {
        MICRO_AP: float(precision.mean()),
        RECALL_AT_P90: float((place / len(ranks))[precision >= _PRECISION].max(initial=0.0)),
    }
    return {name: found[name] for name in asked if name in found}


def _pooled_ranks(data: RetrievalSet) -> Ints:
    """Return the ranks of all answers among all pairs, best first, int64 ``(P,)``: places, and others counted."""
    answers = np.concatenate([scores[relevant] for scores, relevant in _blocks(data)])
    answers = answers[answers > -np.inf]
    place = np.arange(1, len(answers) + 1, dtype=np.int64)
    ends = np.array([0, len(answers)], dtype=np.int64)
    ranks = place.copy()
    for scores, relevant in _blocks(data):
        scores[relevant] = -np.inf
        line = np.concatenate((answers, scores.ravel()))[None]
        worst, _ = count_block(line, ends[:1], ends[1:], ends)
        ranks += worst - place
    return ranks


def _blocks(data: RetrievalSet) -> Iterator[tuple[Scores, np.ndarray[tuple[int, ...], np.dtype[np.bool_]]]]:
    """Yield some queries' scores with all columns, float32 ``(k, N)``, -inf for what they may not see, and answers."""
    problem = Problem.of(data.query, data.gallery, data.layout, keep=1, full=True)
    step = min(fitting_rows(problem), len(data.query))
    ranker = WholeRows(problem, step)
    for first in range(0, len(data.query), step):
        rows = slice(first, min(first + step, len(data.query)))
        yield ranker.visible(rows), data.layout.relevant_columns(rows)
