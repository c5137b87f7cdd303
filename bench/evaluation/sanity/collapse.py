"""Are these vectors worth scoring? Not-a-number rows are refused, collapsed embeddings are flagged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.contract import DataError, SimbenchError
from bench.evaluation.ranking.arrays import Floats, Real

SAMPLE_ROWS = 2_000  # enough for a stable effective rank; its Gram matrix is at most 32 MB
COLLAPSED_COSINE = 0.999
COLLAPSED_RANK = 2.0
_BLOCK_VALUES = 1 << 20  # float64 copies are made of this many values at a time: 8 MB


@dataclass(frozen=True)
class Health:
    """Two numbers that show a collapsed embedding, which scores well on nothing but looks like a result.

    effective_rank: between 1 and the dimension; mean_pairwise_cosine: NaN for a single vector.
    """

    effective_rank: float
    mean_pairwise_cosine: float

    @property
    def collapsed(self) -> bool:
        """Whether the mean cosine is above 0.999 or the effective rank below 2; one vector alone is never collapsed."""
        if np.isnan(self.mean_pairwise_cosine):
            return False
        return self.mean_pairwise_cosine > COLLAPSED_COSINE or self.effective_rank < COLLAPSED_RANK


def row_norms(vectors: Real) -> Floats:
    """Return the Euclidean length of every row, float64 ``(n,)``, computed in float64 a few rows at a time.

    vectors: ``(n, d)`` of any real dtype; values beyond the range of float32 count as infinite, as they would be in
    the ranking.
    """
    step = max(1, _BLOCK_VALUES // max(1, vectors.shape[1]))
    norms = np.empty(len(vectors), dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        for first in range(0, len(vectors), step):
            rows = np.asarray(vectors[first : first + step]).astype(np.float32, copy=False).astype(np.float64)
            norms[first : first + step] = np.sqrt(np.square(rows).sum(axis=1))
    return norms


def refuse_bad_rows(norms: Floats, what: str, error: type[SimbenchError] = DataError) -> None:
    """Raise if any row is not a number, infinite, or all zero; the message counts them and names the first.

    norms: float64 ``(n,)`` from ``row_norms``: a length is finite and above 0 exactly when its row is usable.
    """
    for wrong, word in ((~np.isfinite(norms), "not finite"), (norms == 0, "all zero")):
        if wrong.any():
            first = int(np.argmax(wrong))
            raise error(f"{what}: {int(wrong.sum())} of {len(norms)} rows are {word}, the first is row {first}")


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


def inspect_sample(vectors: Real) -> Health:
    """Return the health of these rows, all of them."""
    return Health(effective_rank(vectors), mean_pairwise_cosine(vectors))


def _unit(vectors: Real) -> Floats:
    rows = np.asarray(vectors).astype(np.float64)
    unit: Floats = rows / np.sqrt(np.square(rows).sum(axis=1, keepdims=True))
    return unit
