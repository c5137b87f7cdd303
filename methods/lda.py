"""Linear discriminant analysis of a pretrained network's features: what varies within classes is shrunk; closed form.

Fisher (1936), for many classes Rao (1948): features are whitened by the scatter within classes, so that directions in
which images of one class differ count less. Belhumeur et al. ("Eigenfaces vs. Fisherfaces", PAMI 1997) brought it to
recognition. Directions are weighed as the two-covariance model of Ioffe ("Probabilistic linear discriminant analysis",
ECCV 2006) weighs them: the share of a direction's variance that lies between classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from bench import RunContext, Split, method
from bench.principal_components import PrincipalComponents, principal_axes
from bench.training.features import Extraction
from bench.training.validation import retrieval_map

from ._features import FeatureMethod

_TRIED = (0.025, 0.05, 0.1, 0.2, 0.4, 0.8)


@method
@dataclass
class LDA(FeatureMethod):
    """The second rung: no training by steps, seconds once the features are there.

    shrinkage: share of both scatters, within and between classes, that is spread evenly over all directions; by default
    the one of .025, .05, .1, .2, .4, .8 with the best validation map, or Ledoit and Wolf's (2004) where the validation
    split cannot be ranked. dims: keep so many of the at most ``classes - 1`` directions in which class means differ, by
    default all directions: better where classes are new, a little worse where none is.
    """

    shrinkage: float | None = None
    dims: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shrinkage is not None and not 0 < self.shrinkage <= 1:
            raise ValueError(f"shrinkage must be above 0 and at most 1, got {self.shrinkage}")
        if self.dims is not None and self.dims < 1:
            raise ValueError(f"dims must be at least 1, got {self.dims}")

    def fit(self, train: Split, validation: Split, run: RunContext) -> None:
        self.prepare(train.images.shape, run)
        extraction = Extraction(self.backbone, run, self.precision)
        scatters = Scatters.of(F.normalize(extraction.of(train, "train").plain(), dim=1), train.labels)
        shrinkage = self.shrinkage
        if shrinkage is None:
            held_out = F.normalize(extraction.of(validation, "validation").plain(), dim=1)
            shrinkage = self._chosen(scatters, held_out, torch.from_numpy(validation.labels))
        extraction.record()
        found = scatters.components(shrinkage, self.dims)
        self.components = found.to(run.device)
        run.log(f"shrinkage {shrinkage:.3g}, {found.count_parameters() // len(found.mean) - 1} dimensions")

    def _chosen(self, scatters: Scatters, vectors: Tensor, labels: Tensor) -> float:
        """Return the shrinkage with the best map over unit vectors that no scatter is taken from."""
        if len(labels) == 0 or int(torch.bincount(labels).max()) == 1:
            return scatters.ledoit_wolf
        scores = {
            tried: retrieval_map(F.normalize(scatters.components(tried, self.dims)(vectors), dim=1), labels)
            for tried in _TRIED
        }
        return max(scores, key=lambda tried: scores[tried])


@dataclass(frozen=True)
class Scatters:
    """How vectors lie within and between classes, in float64 on the CPU, so that every device gets the same.

    mean: of all, ``(d,)``. between: the class means' offsets from it, each times the root of its class's share,
    ``(classes, d)``. axes, variances: of the pooled covariance within classes, ``(d, k)`` and ``(k,)``; it has no
    others. ledoit_wolf: the shrinkage of it that is best in the mean square (Ledoit & Wolf 2004).
    """

    mean: Tensor
    between: Tensor
    axes: Tensor
    variances: Tensor
    ledoit_wolf: float

    @classmethod
    def of(cls, vectors: Tensor, labels: NDArray[np.int64]) -> Scatters:
        """Take them from float ``(n, d)`` with labels ``(n,)``."""
        exact = vectors.double()
        number = torch.from_numpy(np.unique(labels, return_inverse=True)[1])
        counts = torch.bincount(number).double()
        means = torch.zeros(len(counts), exact.shape[1], dtype=torch.float64).index_add_(0, number, exact)
        means /= counts[:, None]
        mean, rest = exact.mean(dim=0), exact - means[number]
        axes, variances = principal_axes(rest, exact.shape[1])
        variances *= max(1, len(exact) - 1) / max(1, len(exact) - len(counts))
        between = (means - mean) * (counts / len(exact)).sqrt()[:, None]
        return cls(mean, between, axes, variances, _ledoit_wolf(rest))

    def components(self, shrinkage: float, dims: int | None) -> PrincipalComponents:
        """Return the map to whitened directions, weighed; the ``dims`` that tell classes apart best, or all of them."""
        d, classes = len(self.mean), len(self.between)
        level = float(self.variances.sum()) / d or 1.0  # 0 where every class has one image: nothing is known
        least = (shrinkage * level) ** -0.5
        whitening = _stretched(self.axes, ((1 - shrinkage) * self.variances + shrinkage * level).rsqrt(), least)
        turn, spread = principal_axes(self.between @ whitening, d)
        spread *= max(1, classes - 1)  # a sum over classes, not their variance
        even = shrinkage * spread.sum() / d
        weights, least = _share((1 - shrinkage) * spread + even), float(_share(even))
        if classes < 2:
            weights, least = torch.ones_like(weights), 1.0  # no direction tells more than another
        axes = _stretched(turn, weights, least) @ whitening if dims is None else (turn * weights).T[:dims] @ whitening
        return PrincipalComponents(self.mean.float(), axes.float())


def _stretched(axes: Tensor, factors: Tensor, others: float) -> Tensor:
    """Return the symmetric map that stretches along orthonormal columns ``(d, k)``, and all others by one factor."""
    return others * torch.eye(len(axes), dtype=axes.dtype) + axes * (factors - others) @ axes.T


def _share(variance: Tensor) -> Tensor:
    """Return the root of the share that a variance between classes has in all, where that within them is 1."""
    return (variance / (1 + variance)).sqrt()


def _ledoit_wolf(rows: Tensor) -> float:
    """Return the best shrinkage of the covariance of centred rows ``(n, d)`` towards its mean variance, in [0, 1]."""
    n, d = rows.shape
    covariance = rows.T @ rows / n
    distance = float(covariance.square().sum() - covariance.trace().square() / d)
    noise = float(rows.square().sum(dim=1).square().mean() - covariance.square().sum()) / n
    return min(1.0, noise / distance) if distance > 0 and not math.isnan(noise) else 1.0
