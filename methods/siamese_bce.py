"""Siamese network with cosine, a learnt projection and binary cross-entropy: the probability that two images are alike.

The method of the cosine-and-cross-entropy seed project: the cosine of two unit vectors goes through a learnt scale and
shift to a logit. ``pair_score`` gives both, raw cosine and probability. ``pairs`` as in ``siamese``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from bench import method
from bench.training.batches import Batch
from bench.training.losses import CosineProjection, all_pairs, balanced_pairs
from bench.training.trained import TrainedMethod


@method
@dataclass
class SiameseBCE(TrainedMethod[CosineProjection]):
    """The options of all trained methods, and which pairs of a batch are judged."""

    pairs: Literal["all", "balanced"] = "all"

    def make_head(self, classes: int) -> CosineProjection:
        return CosineProjection()

    def loss(self, vectors: Tensor, batch: Batch, share: float | Tensor) -> dict[str, Tensor]:
        chosen = all_pairs(batch.labels) if self.pairs == "all" else balanced_pairs(batch.labels)
        return {"loss": self.head.loss(vectors, chosen)}

    def pair_score(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        cosine = (self.embed(left) * self.embed(right)).sum(dim=1)
        return cosine, self.head.probability(cosine)
