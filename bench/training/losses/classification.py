"""Losses with one weight vector a class: a plain classifier, ArcFace's angular margin, proxies."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.training.losses.distances import log_one_plus_sum_exp, unit


def accuracy(cosines: Tensor, labels: Tensor) -> float:
    """Return the share of vectors nearest to their own class's weights; NaN where no class has any.

    Args:
        cosines: Float ``(n, classes)``, of each vector to each class's weights.
        labels: Int64 ``(n,)``; those past the classes have no weights, and their vectors are left out.

    Returns:
        The share, in [0, 1].
    """
    known = labels < cosines.shape[1]
    return float((cosines.argmax(dim=1) == labels)[known].float().mean())


class SoftmaxHead(nn.Module):
    """A linear classifier on the vectors as they are, neither they nor its weights normalised."""

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(dim, classes)

    def logits(self, vectors: Tensor) -> Tensor:
        """Return the logits of vectors float ``(n, dim)``, float32 ``(n, classes)``."""
        with torch.autocast(vectors.device.type, enabled=False):
            logits: Tensor = self.classifier(vectors.float())
            return logits

    def forward(self, vectors: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
        """Return the mean cross-entropy; labels int64 ``(n,)``, ``smoothing`` the share spread over all classes."""
        return F.cross_entropy(self.logits(vectors), labels, label_smoothing=smoothing)


class ArcFaceHead(nn.Module):
    """Class centres on the unit sphere, and logits with an additive angular margin (Deng et al., CVPR 2019).

    The true class's cosine cos t becomes cos(t + margin), then all are multiplied by ``scale``. Numerically safe: the
    sine comes from a clamped square root instead of acos, whose gradient is infinite at 1; where t + margin would pass
    pi the logit goes on falling linearly (cos t - margin * sin margin), as in the authors' code. Runs in float32.
    """

    def __init__(self, dim: int, classes: int, scale: float) -> None:
        super().__init__()
        self.centres = nn.Parameter(F.normalize(torch.randn(classes, dim), dim=1))
        self.scale = scale

    def cosines(self, vectors: Tensor) -> Tensor:
        """Return the cosine of each vector ``(n, dim)`` to each class centre, float32 ``(n, classes)``."""
        return F.normalize(vectors.float(), dim=1) @ F.normalize(self.centres, dim=1).T

    def forward(self, vectors: Tensor, labels: Tensor, margin: float | Tensor) -> Tensor:
        """Return the mean cross-entropy of the margin logits; labels int64 ``(n,)``; margin in radians, maybe 0-d."""
        with torch.autocast(vectors.device.type, enabled=False):
            cosines = self.cosines(vectors)
            return F.cross_entropy(self.scale * add_angular_margin(cosines, labels, margin), labels)


def add_angular_margin(cosines: Tensor, labels: Tensor, margin: float | Tensor) -> Tensor:
    """Return cosines ``(n, classes)`` with the true class's angle widened by ``margin`` radians, a number or 0-d."""
    across, along = (margin.cos(), margin.sin()) if isinstance(margin, Tensor) else (math.cos(margin), math.sin(margin))
    true = cosines.gather(1, labels[:, None])
    sine = (1.0 - true.square()).clamp_min(1e-7).sqrt()
    widened = torch.where(true <= -across, true - margin * along, true * across - sine * along)
    return cosines.scatter(1, labels[:, None], widened)


class ProxyAnchorHead(nn.Module):
    """The proxy-anchor loss (Kim et al., CVPR 2020); margin and alpha are the paper's, a cosine and a scale.

    A proxy pulls its class's images of the batch, the hard ones most, and pushes all others:
    mean over the proxies with an image in the batch of log(1 + sum exp(-alpha (cos - margin))) over those images, plus
    mean over all proxies of log(1 + sum exp(alpha (cos + margin))) over the other classes' images.
    """

    def __init__(self, dim: int, classes: int, margin: float = 0.1, alpha: float = 32.0) -> None:
        super().__init__()
        self.proxies = nn.Parameter(F.normalize(torch.randn(classes, dim), dim=1))
        self.margin = margin
        self.alpha = alpha

    def cosines(self, vectors: Tensor) -> Tensor:
        """Return the cosine of each vector ``(n, dim)`` to each proxy, float32 ``(n, classes)``."""
        with torch.autocast(vectors.device.type, enabled=False):
            return unit(vectors) @ unit(self.proxies).T

    def forward(self, vectors: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of a batch; vectors float ``(n, dim)``, labels int64 ``(n,)``."""
        cosines = self.cosines(vectors)
        own = labels[:, None] == torch.arange(len(self.proxies), device=labels.device)
        with torch.autocast(vectors.device.type, enabled=False):
            pulls = log_one_plus_sum_exp(self.alpha * (self.margin - cosines), own, dim=0)
            pushes = log_one_plus_sum_exp(self.alpha * (cosines + self.margin), ~own, dim=0)
            return pulls.sum() / own.any(dim=0).sum().clamp_min(1) + pushes.mean()
