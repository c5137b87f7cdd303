"""Triplet loss: an image must be nearer to one of its class than to one of another, by a margin.

FaceNet (Schroff et al., CVPR 2015) with its semi-hard mining; also random triplets, batch-hard (Hermans et al. 2017)
and distance-weighted (Wu et al., ICCV 2017). ``classify`` adds a classification head to the loss, as the triplet seed
project wished for. Its history has ``val_satisfied``, the share of validation triplets that are in order: that
project's accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from bench import method, tunable
from bench.training.batches import Batch
from bench.training.losses import Mining, SoftmaxHead, satisfied_triplets, triplet_loss
from bench.training.trained import TrainedMethod


@method
@dataclass
class Triplet(TrainedMethod[nn.Module]):
    """margin: in Euclidean distance of unit vectors; classify: weight of the classification head's cross-entropy."""

    margin: float = tunable(0.2, low=0.05, high=0.8)
    mining: Mining = "semi_hard"
    classify: float = 0.0

    def make_head(self, classes: int) -> nn.Module:
        return SoftmaxHead(self.embedding_dim, classes) if self.classify else nn.Identity()

    def loss(self, vectors: Tensor, batch: Batch, share: float | Tensor) -> dict[str, Tensor]:
        triplet = triplet_loss(vectors, batch.labels, margin=self.margin, mining=self.mining)
        if not self.classify:
            return {"loss": triplet}
        classification = self.head(vectors, batch.labels)
        return {"loss": triplet + self.classify * classification, "triplet": triplet, "classify": classification}

    def validation_metrics(self, vectors: Tensor, labels: Tensor) -> dict[str, float]:
        return {"val_satisfied": satisfied_triplets(vectors, labels)}
