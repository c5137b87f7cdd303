"""Are these vectors worth scoring? Not-a-number rows are refused, collapsed embeddings are flagged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.evaluation.ranking.arrays import Floats, Real

SAMPLE_ROWS = 2_000  # enough for a stable effective rank; its Gram matrix is at most 32 MB
COLLAPSED_COSINE = 0.999
COLLAPSED_RANK = 2.0


@dataclass(frozen=True)
class Health:
    """Two numbers that show a collapsed embedding, which scores well on nothing but looks like a result.

    effective_rank: between 1 and the dimension; mean_pairwise_cosine: NaN for a single vector.
    """

    effective_rank: float
    mean_pairwise_cosine: float

    @classmethod
    def of(cls, vectors: Real) -> Health:
        return cls(effective_rank(vectors), mean_pairwise_cosine(vectors))

    @property
    def collapsed(self) -> bool:
        """Whether the mean cosine is above 0.999 or the effective rank below 2; one vector alone is never collapsed."""
        if np.isnan(self.mean_pairwise_cosine):
            return False
        return self.mean_pairwise_cosine > COLLAPSED_COSINE or self.effective_rank < COLLAPSED_RANK


def effective_rank(vectors: Real) -> float:
    """Return exp(entropy of the singular values divided by their sum), between 1 and min(n, d).

    vectors: ``(n, d)``, rows neither all zero nor infinite; they are scaled to unit length and not centred, so one
    shared direction counts as rank 1. Source: Roy and Vetterli, "The effective rank", EUSIPCO 2007.
    """
    unit = _unit(vectors)
    gram = unit @ unit.T if len(unit) < unit.shape[1] else unit.T @ unit
    singular = np.sqrt(np.clip(np.linalg.eigvalsh(gram), 0.0, None))
    share = singular / singular.sum()
    share = share[share > 0]
    return float(np.exp(-(share * np.log(share)).sum()))


def mean_pairwise_cosine(vectors: Real) -> float:
    """Return the mean cosine over all pairs of different rows: (|sum of unit rows|^2 - n) / (n (n - 1)).

    This is what random pairs estimate, in closed form. vectors: ``(n, d)``. NaN for fewer than two rows.
    """
    unit = _unit(vectors)
    n = len(unit)
    if n < 2:
        return float("nan")
    total = unit.sum(axis=0)
    return float(((total * total).sum() - n) / (n * (n - 1)))


def sample_rows(n: int, seed: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the row numbers that stand for ``n`` rows, ascending: all of them up to 2,000, else a seeded sample."""
    if n <= SAMPLE_ROWS:
        return np.arange(n, dtype=np.int64)
    chosen = np.random.default_rng((seed, 1)).choice(n, size=SAMPLE_ROWS, replace=False)
    return np.sort(chosen).astype(np.int64)


def _unit(vectors: Real) -> Floats:
    rows = np.asarray(vectors).astype(np.float64)
    unit: Floats = rows / np.sqrt(np.square(rows).sum(axis=1, keepdims=True))
    return unit
