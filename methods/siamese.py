"""Siamese network with the contrastive loss: like images close, unlike images at least a margin apart.

Hadsell, Chopra & LeCun, CVPR 2006; formula and margin of the contrastive seed project,
y d^2 + (1 - y) max(margin - d, 0)^2 with the Euclidean distance d, here of unit vectors. ``pairs=balanced`` draws one
partner an image, like or unlike at even odds, as the siamese seed projects did; ``pairs=all`` uses every pair of a
class-balanced batch, like and unlike pairs weighing the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from bench import method, tunable
from bench.training.batches import Batch
from bench.training.losses import all_pairs, balanced_pairs, contrastive_loss
from bench.training.trained import TrainedMethod


@method
@dataclass
class Siamese(TrainedMethod[nn.Module]):
    """margin: distance from which unlike pairs cost nothing; unit vectors are at most 2 apart, unrelated ones 1.41."""

    margin: float = tunable(1.0, low=0.3, high=1.6)
    pairs: Literal["all", "balanced"] = "all"

    def loss(self, vectors: Tensor, batch: Batch, share: float | Tensor) -> dict[str, Tensor]:
        chosen = all_pairs(batch.labels) if self.pairs == "all" else balanced_pairs(batch.labels)
        return {"loss": contrastive_loss(vectors, chosen, self.margin)}
