"""``bench.evaluate`` without the intervals, which are most of its work on small sets, for tests that look at values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.evaluation.evaluate import Evaluation, evaluate_set
from bench.evaluation.ranking.retrieval_set import RetrievalSet

if TYPE_CHECKING:
    from bench.evaluation.ranking.relevance import NamesLike
    from bench.evaluation.ranking.vectors import VectorsLike


def evaluate_values(
    query: VectorsLike,
    query_labels: NamesLike | None,
    gallery: VectorsLike,
    gallery_labels: NamesLike | None,
    **options: Any,
) -> Evaluation:
    """Return what ``bench.evaluate`` does of the same arguments, without intervals and replicates."""
    of_pairs = {name: options.pop(name) for name in _OF_PAIRS & set(options)}
    data = RetrievalSet.of(query, query_labels, gallery, gallery_labels, **of_pairs)
    return evaluate_set(data, replicates=False, **options)


_OF_PAIRS = {
    "query_ids", "gallery_ids", "query_groups", "gallery_groups", "positives", "gains", "ignore", "normalize",
}  # fmt: skip
