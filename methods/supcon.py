"""Supervised contrastive loss: every image of the class is a positive, every other image of the batch a negative.

Khosla et al., NeurIPS 2020 (the form with the sum outside the logarithm); one view an image, since class-balanced
batches hold many images of a class.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from bench import method, tunable
from bench.training.batches import Batch
from bench.training.losses import supcon_loss
from bench.training.trained import TrainedMethod


@method
@dataclass
class SupCon(TrainedMethod[nn.Module]):
    """temperature: of the softmax over cosines; lower looks at the hardest negatives only."""

    temperature: float = tunable(0.1, low=0.03, high=0.5, log=True)

    def loss(self, vectors: Tensor, batch: Batch, share: float | Tensor) -> dict[str, Tensor]:
        return {"loss": supcon_loss(vectors, batch.labels, self.temperature)}
