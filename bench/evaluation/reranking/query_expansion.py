"""Alpha query expansion and database augmentation: every vector moves towards its neighbours."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bench.contract import UsageError
from bench.evaluation.reranking.embedded import Embedded, gallery_neighbors, unit_or_zero, weights


@dataclass(frozen=True)
class ExpandQueries:
    """``aqe``: a query becomes itself plus its n first results, each weighted by similarity ** alpha; then unit length.

    The query itself, where it is in the gallery, is not among its results. Source: Radenovic, Tolias and Chum,
    Fine-tuning CNN Image Retrieval with No Human Annotation, TPAMI 2018, section 3.3 (alpha 3); with alpha 0 it is the
    average query expansion of Chum et al., ICCV 2007.
    """

    n: int = 10
    alpha: float = 3.0

    def __post_init__(self) -> None:
        _check(self.n, self.alpha, "aqe")

    def __call__(self, data: Embedded) -> Embedded:
        found = data.shortlist(self.n)
        moved = data.query + weights(found, len(data.gallery), self.alpha) @ data.gallery
        return replace(data, query=unit_or_zero(moved))


@dataclass(frozen=True)
class AugmentDatabase:
    """``dba``: a gallery vector becomes itself plus its n nearest in the gallery, weighted likewise; then unit length.

    Queries stay as they are. Done once, before any query is known; but where queries are gallery items (protocol
    ``loo``), an item's neighbours may include the image that will be asked. Source: Turcot and Lowe, Better matching
    with fewer features, ICCV workshops 2009; weights as in alpha query expansion (Gordo et al., IJCV 2017).
    """

    n: int = 10
    alpha: float = 3.0

    def __post_init__(self) -> None:
        _check(self.n, self.alpha, "dba")

    def __call__(self, data: Embedded) -> Embedded:
        found = gallery_neighbors(data.gallery, data.gallery_ids, self.n)
        moved = data.gallery + weights(found, len(data.gallery), self.alpha) @ data.gallery
        return replace(data, gallery=unit_or_zero(moved))


def _check(n: int, alpha: float, name: str) -> None:
    if n < 1 or alpha < 0:
        raise UsageError(f"{name}: n must be 1 or more and alpha 0 or more, got n={n}, alpha={alpha}")
