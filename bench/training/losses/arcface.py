"""The ArcFace head: class centres and an additive angular margin."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


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

    def forward(self, vectors: Tensor, labels: Tensor, margin: float) -> Tensor:
        """Return the mean cross-entropy of the margin logits; labels int64 ``(n,)``, margin in radians."""
        with torch.autocast(vectors.device.type, enabled=False):
            cosines = self.cosines(vectors)
            return F.cross_entropy(self.scale * add_angular_margin(cosines, labels, margin), labels)


def add_angular_margin(cosines: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Return cosines ``(n, classes)`` with the true class's angle widened by ``margin`` radians."""
    true = cosines.gather(1, labels[:, None])
    sine = (1.0 - true.square()).clamp_min(1e-7).sqrt()
    widened = true * math.cos(margin) - sine * math.sin(margin)
    past_pi = true <= -math.cos(margin)
    widened = torch.where(past_pi, true - margin * math.sin(margin), widened)
    return cosines.scatter(1, labels[:, None], widened)
