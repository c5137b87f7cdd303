"""What can be known of vectors without labels, or with few: numbers that may foretell which method ranks best.

None works everywhere (42,000 experiments with 23 such scores, arXiv 2503.18528): `bench.choose.foretelling` measures
how well each does on finished runs.

``consistency`` is not among ``PROXIES``: it needs vectors of changed copies, which a run's folder does not keep, and
whoever embeds them anew with every run may as well ask `simbench choose FLAT --labels none`, which shows it. It chooses
badly across kinds of methods: on both folders of photographs where it was measured it put pixels first, whose map is
the last or the last but one (docs/reference/measured.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.evaluation.ranking.arrays import Floats, Ints, Vectors

_NEAREST = 10  # neighbours that hubness and agreement look at
_DRAWS = 10  # of few labelled images
_MOST = 2_000  # images that are looked at, evenly spaced


@dataclass(frozen=True)
class Sample:
    """Some of a run's gallery: unit float32 ``(n, d)``, labels int64 ``(n,)``, nearest others int64 ``(n, k)``."""

    vectors: Vectors
    labels: Ints
    nearest: Ints

    @classmethod
    def of(cls, vectors: Vectors, labels: Ints) -> Sample:
        """Take at most 2,000 rows, evenly spaced: the same ones of every run on the same pictures."""
        rows = np.linspace(0, len(vectors) - 1, min(len(vectors), _MOST)).astype(np.int64)
        some = vectors[rows]
        scores = some @ some.T
        np.fill_diagonal(scores, -np.inf)
        return cls(some, labels[rows], np.argsort(-scores, axis=1, kind="stable")[:, :_NEAREST])


def effective_rank(sample: Sample) -> float:
    """Return in how many directions vectors spread: e to the entropy of their singular values (Roy & Vetterli 2007).

    RankMe (Garrido et al., ICML 2023) compares checkpoints of one family by it.
    """
    rows = sample.vectors.astype(np.float64)
    gram = rows.T @ rows if rows.shape[1] < len(rows) else rows @ rows.T  # whichever is smaller has the same values
    values = np.sqrt(np.linalg.eigvalsh(gram).clip(min=0))
    shares = values / values.sum()
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def evenness(sample: Sample) -> float:
    """Return minus the skewness of how often each image is among others' ten nearest: hubs spoil searches.

    Radovanovic, Nanopoulos & Ivanovic, JMLR 2010.
    """
    counts = np.bincount(sample.nearest.ravel(), minlength=len(sample.vectors)).astype(np.float64)
    spread = counts.std()
    return 0.0 if spread == 0 else -float(((counts - counts.mean()) ** 3).mean() / spread**3)


def agreement(sample: Sample, others: Sequence[Sample]) -> float:
    """Return the share of ten nearest neighbours that is had in common with other methods' vectors of these images."""
    if not others:
        return float("nan")
    return float(np.mean([_in_common(sample.nearest, other.nearest) for other in others]))


def consistency(copies: Vectors, same: Ints, vectors: Vectors, groups: Ints) -> Floats:
    """Return the simplified silhouette of pictures' changed copies, float64 ``(n,)`` in [-1, 1].

    (b - a) / max(a, b), a: the cosine distance of a copy to its original, b: to the nearest other picture; 0 where both
    are 0. Above 0 the copy is nearest to its original. Free of scale, so that methods compare however wide they spread.
    copies: unit float32 ``(n, d)``; vectors: all pictures', ``(N, d)``; same, groups: int64 ``(n,)`` and ``(N,)``,
    equal where an item is an original of the copy; each copy has one, and another picture beside it.
    Silhouette: Rousseeuw, J. Comput. Appl. Math. 20, 1987; its simplified form: Hruschka et al., 2004.
    """
    distances = 1.0 - (copies @ vectors.T).astype(np.float64).clip(-1, 1)
    own = same[:, None] == groups
    a, b = (np.where(chosen, distances, np.inf).min(axis=1) for chosen in (own, ~own))
    larger = np.maximum(a, b)
    silhouettes: Floats = np.divide(b - a, larger, out=np.zeros_like(larger), where=larger > 0)
    return silhouettes


def few_labels(sample: Sample, per_class: int, seed: int = 0) -> float:
    """Return how often the nearest of so many labelled images a class has the right label: mean of ten draws of them.

    NaN where no class has so many, and one more.
    """
    rng, found = np.random.default_rng((seed, per_class)), []
    members = [np.flatnonzero(sample.labels == label) for label in np.unique(sample.labels)]
    members = [rows for rows in members if len(rows) >= per_class]
    if len(members) < 2:
        return float("nan")
    for _ in range(_DRAWS):
        rows = np.concatenate([rng.choice(rows, per_class, replace=False) for rows in members])
        scores = sample.vectors[rows] @ sample.vectors[rows].T
        np.fill_diagonal(scores, -np.inf)
        labels = sample.labels[rows]
        found.append(float((labels[scores.argmax(axis=1)] == labels).mean()))
    return float(np.mean(found))


# Each proxy by name: of a sample and those of the other methods; the higher, the better it bodes.
PROXIES: dict[str, Callable[[Sample, Sequence[Sample]], float]] = {
    "two labels a class": lambda sample, _: few_labels(sample, 2),
    "five labels a class": lambda sample, _: few_labels(sample, 5),
    "agreement": agreement,
    "effective rank": lambda sample, _: effective_rank(sample),
    "evenness": lambda sample, _: evenness(sample),
}


def _in_common(one: Ints, other: Ints) -> float:
    pairs = zip(one.tolist(), other.tolist(), strict=True)
    return float(np.mean([len({*left} & {*right}) / len(left) for left, right in pairs]))
