"""Multi-similarity loss: mined pairs, weighted by how they compare with each other and with the rest.

Wang et al., CVPR 2019, with the paper's mining and its numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from bench import method, tunable
from bench.training.batches import Batch
from bench.training.losses import multi_similarity_loss
from bench.training.trained import TrainedMethod


@method
@dataclass
class MultiSimilarity(TrainedMethod[nn.Module]):
    """alpha, beta: sharpness for positives and negatives; base: the cosine between; epsilon: slack of the mining."""

    alpha: float = tunable(2.0, low=0.5, high=20.0, log=True)
    beta: float = tunable(50.0, low=10.0, high=100.0, log=True)
    base: float = tunable(0.5, low=0.0, high=0.8)
    epsilon: float = 0.1

    def loss(self, vectors: Tensor, batch: Batch, share: float | Tensor) -> dict[str, Tensor]:
        settings = {"alpha": self.alpha, "beta": self.beta, "base": self.base, "epsilon": self.epsilon}
        return {"loss": multi_similarity_loss(vectors, batch.labels, **settings)}
