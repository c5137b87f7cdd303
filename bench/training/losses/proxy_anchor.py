"""The proxy-anchor head: one learnt proxy a class, and each proxy an anchor of the batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.training.losses.distances import unit
from bench.training.losses.soft_maximum import log_one_plus_sum_exp


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
