"""Which stages there are, and applying some of them, one after another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from bench.contract import UsageError
from bench.evaluation.ranking.arrays import Scores
from bench.evaluation.reranking.diffusion import Diffuse
from bench.evaluation.reranking.embedded import Embedded, Shortlist
from bench.evaluation.reranking.reciprocal import KReciprocal
from bench.evaluation.reranking.vector_stages import AugmentDatabase, ExpandQueries, Whiten
from bench.naming import did_you_mean


class VectorStage(Protocol):
    """Gives new vectors to be searched as before; may come several times, in any order."""

    def __call__(self, data: Embedded) -> Embedded: ...


class SimilarityStage(Protocol):
    """Gives a shortlist's items new similarities; comes last, and once."""

    def __call__(self, data: Embedded, found: Shortlist) -> Scores: ...


VECTOR_STAGES: dict[str, type[ExpandQueries | AugmentDatabase | Whiten]] = {
    "aqe": ExpandQueries,
    "dba": AugmentDatabase,
    "whiten": Whiten,
}
SIMILARITY_STAGES: dict[str, type[KReciprocal | Diffuse]] = {"k-reciprocal": KReciprocal, "diffusion": Diffuse}


@dataclass(frozen=True)
class Reranking:
    """Stages in the order of their use; without any, a search is what it was."""

    vectors: tuple[VectorStage, ...] = ()
    similarity: SimilarityStage | None = None

    def search(self, data: Embedded, k: int, *, depth: int = 100) -> Shortlist:
        """Return each query's first k: exact search to ``depth`` items (at least k), ordered anew by the last stage."""
        for stage in self.vectors:
            data = stage(data)
        found = data.shortlist(max(k, depth) if self.similarity else k)
        if self.similarity is not None:
            found = found.reordered(self.similarity(data, found))
        return Shortlist(found.items[:, :k], found.similarities[:, :k])


def parse_stages(words: str) -> Reranking:
    """Return the stages of ``aqe,dba`` or the like, each with its defaults; nothing for an empty text.

    Raises UsageError for an unknown name, and for a stage of similarities that is not the last.
    """
    names = [word.strip() for word in words.split(",") if word.strip()]
    known = [*VECTOR_STAGES, *SIMILARITY_STAGES]
    for name in names:
        if name not in known:
            raise UsageError(f"unknown re-ranking {name!r}{did_you_mean(name, known)} (known: {', '.join(known)})")
    early = [name for name in names[:-1] if name in SIMILARITY_STAGES]
    if early:
        raise UsageError(f"{early[0]} orders a shortlist anew and gives no vectors: it must come last and alone")
    last = SIMILARITY_STAGES.get(names[-1]) if names else None
    return Reranking(
        vectors=tuple(VECTOR_STAGES[name]() for name in names if name in VECTOR_STAGES),
        similarity=last() if last else None,
    )
