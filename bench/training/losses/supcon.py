"""The supervised contrastive loss."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.training.losses.distances import unit


def supcon_loss(vectors: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Return the supervised contrastive loss L_out (Khosla et al., NeurIPS 2020), one view an image.

    For each anchor with a positive: minus the mean over its positives p of log(exp(cos_p / t) / sum over all other
    images a of exp(cos_a / t)); then the mean over those anchors. A batch of one class has a loss too (its least value
    is the logarithm of n - 1); a batch without a positive pair has 0.
    """
    with torch.autocast(vectors.device.type, enabled=False):
        units = unit(vectors)
        itself = torch.eye(len(units), dtype=torch.bool, device=units.device)
        # Finite, so that an image alone in its batch has no 0/0; its exponential is 0 all the same.
        logits = (units @ units.T / temperature).masked_fill(itself, -1e9)
        positive = (labels[:, None] == labels) & ~itself
        counts = positive.sum(dim=1)
        sums = torch.where(positive, logits.log_softmax(dim=1), 0.0).sum(dim=1)
        return -(sums / counts.clamp_min(1)).sum() / (counts > 0).sum().clamp_min(1)
