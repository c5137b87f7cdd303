"""The softmax head: classification as the plainest way to learn an embedding."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


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
