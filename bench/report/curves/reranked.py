"""What re-ranking does to a finished run's first results, stage by stage, on the same queries."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.evaluation.metrics import ranking
from bench.evaluation.ranking.arrays import Floats
from bench.evaluation.ranking.retrieval_set import RetrievalSet
from bench.evaluation.reranking.embedded import Embedded, shortlist_ranks
from bench.evaluation.reranking.pipeline import parse_stages
from bench.evaluation.statistics.estimates import of_queries
from bench.evaluation.statistics.paired_tests import Comparison, compare
from bench.report.tables.wording import markdown_table, unscored_queries

PLAIN = "none"


@dataclass(frozen=True)
class Reranked:
    """One chain of stages: its metrics of the first k, float64 ``(q,)`` each, and the seconds it took for all queries.

    against: the comparison of map@k with no re-ranking; None for that itself.
    """

    stages: str
    precision: Floats
    hit: Floats
    hits_in_k: Floats
    seconds: float
    against: Comparison | None = None


def rerank(data: RetrievalSet, chains: Sequence[str], *, k: int, depth: int) -> list[Reranked]:
    """Search without any stage and with each chain (``aqe,dba``), and compare map@k query by query.

    The comparison speaks of other queries to this gallery.

    depth: how many results a stage of similarities orders anew. Raises UsageError for unknown stages.
    """
    plain, *others = _measured(data, (PLAIN, *chains), k=k, depth=depth)
    measured = [of_queries(one.precision[None], data.query_labels) for one in (plain, *others)]
    found = compare(measured[0], measured[1:])
    return [plain, *(replace(one, against=against) for one, against in zip(others, found, strict=True))]


def _measured(data: RetrievalSet, chains: Sequence[str], *, k: int, depth: int) -> Iterator[Reranked]:
    parsed = [(words, parse_stages("" if words == PLAIN else words)) for words in chains]
    vectors = Embedded.of(data)
    for words, stages in parsed:
        started = time.perf_counter()
        found = stages.search(vectors, k, depth=depth)
        took = time.perf_counter() - started
        ranks = shortlist_ranks(found, data, k)
        yield Reranked(
            stages=words,
            precision=ranking.average_precision_at(ranks, k),
            hit=ranking.hit_at(ranks, 1),
            hits_in_k=ranking.precision_at(ranks, k),
            seconds=took,
        )


def as_table(found: Sequence[Reranked], k: int) -> str:
    """Return the table that the command prints."""
    rows = []
    for one in found:
        means = [f"{np.nanmean(values):.4f}" for values in (one.precision, one.hit, one.hits_in_k)]
        told = ["", "", ""]
        if one.against is not None:
            told = [
                f"{one.against.difference:+.4f}",
                f"{one.against.low:+.4f} to {one.against.high:+.4f}",
                f"{one.against.p_corrected:.4f}",
            ]
        rows.append([one.stages, *means, *told, f"{one.seconds:.1f}"])
    heads = ["stages", f"map@{k}", "hit@1", f"precision@{k}", f"map@{k} gained", "95 %", "Holm p", "s"]
    under = unscored_queries(found[0].precision)
    return "\n\n".join(filter(None, (markdown_table(heads, rows, "lr"), under)))
