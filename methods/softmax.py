"""Softmax classifier's features: the baseline that every metric-learning method has to beat.

A linear classifier on the encoder's vectors, trained with cross-entropy; retrieval by the cosine of the vectors (Zhai
& Wu, "Classification is a strong baseline for deep metric learning", BMVC 2019). On classes it was trained on,
retrieval is classification in disguise: ``-o logits=true`` makes that plain and embeds an image as its similarities
to the class centres, which can rank classes it knows and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench import method, tunable
from bench.training.batches import Batch
from bench.training.embedder import EmbeddingNetwork
from bench.training.losses import SoftmaxHead, accuracy
from bench.training.trained import TrainedMethod


@method
@dataclass
class Softmax(TrainedMethod[SoftmaxHead]):
    """smoothing: share of a label given to the other classes (Szegedy et al. 2016); logits: embed as class scores."""

    smoothing: float = tunable(0.1, low=0.0, high=0.3)
    logits: bool = False

    baseline = "classifier"

    def make_head(self, classes: int) -> SoftmaxHead:
        return SoftmaxHead(self.embedding_dim, classes)

    def loss(self, vectors: Tensor, batch: Batch, share: float | Tensor) -> dict[str, Tensor]:
        return {"loss": self.head(vectors, batch.labels, self.smoothing)}

    def validation_metrics(self, vectors: Tensor, labels: Tensor) -> dict[str, float]:
        return {"val_accuracy": accuracy(self._cosines(vectors), labels)}

    def network(self) -> nn.Module:
        return EmbeddingNetwork(self.embed, self.embedder, self.head) if self.logits else super().network()

    def embed(self, pixels: Tensor) -> Tensor:
        vectors = self.embedder.embed(pixels)
        if not self.logits:
            return vectors
        # As probabilities of a classifier whose features and weights have unit length; 30 is ArcFace's usual scale.
        return torch.softmax(30.0 * self._cosines(vectors), dim=1)

    def _cosines(self, vectors: Tensor) -> Tensor:
        """Return the cosine of unit vectors ``(n, dim)`` to each class's weights, float32 ``(n, classes)``."""
        return vectors @ F.normalize(self.head.classifier.weight, dim=1).T
