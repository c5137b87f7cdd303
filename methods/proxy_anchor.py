"""Proxy-anchor loss: every class has a learnt proxy that pulls its own images and pushes all others, hard ones harder.

Kim et al., CVPR 2020. Proxies learn at a rate of their own: they move only when their class comes up.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from bench import method, tunable
from bench.training.batches import Batch
from bench.training.losses import ProxyAnchorHead, accuracy
from bench.training.trained import TrainedMethod


@method
@dataclass
class ProxyAnchor(TrainedMethod[ProxyAnchorHead]):
    """margin: of the cosine to a proxy; alpha: sharpness of the soft maximum; proxy_lr: peak rate of the proxies."""

    margin: float = tunable(0.1, low=0.0, high=0.5)
    alpha: float = tunable(8.0, low=4.0, high=64.0, log=True)
    proxy_lr: float = tunable(0.03, low=3e-3, high=0.3, log=True)

    def make_head(self, classes: int) -> ProxyAnchorHead:
        return ProxyAnchorHead(self.embedding_dim, classes, self.margin, self.alpha)

    def head_lr(self) -> float:
        return self.proxy_lr

    def loss(self, vectors: Tensor, batch: Batch, share: float | Tensor) -> dict[str, Tensor]:
        return {"loss": self.head(vectors, batch.labels)}

    def validation_metrics(self, vectors: Tensor, labels: Tensor) -> dict[str, float]:
        return {"val_accuracy": accuracy(self.head.cosines(vectors), labels)}
