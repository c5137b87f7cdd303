"""Losses over all pairs of a batch at once: multi-similarity, supervised contrastive."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.training.losses.distances import log_one_plus_sum_exp, unit


def multi_similarity_loss(
    vectors: Tensor, labels: Tensor, *, alpha: float = 2.0, beta: float = 50.0, base: float = 0.5, epsilon: float = 0.1
) -> Tensor:
    """Return the multi-similarity loss (Wang et al., CVPR 2019); the defaults are the authors' code's.

    An anchor keeps the negatives whose cosine is above its least similar positive's less ``epsilon``, and the positives
    whose cosine is below its most similar negative's plus ``epsilon``. Over what it keeps it costs
    log(1 + sum exp(-alpha (cos - base))) / alpha for the positives and log(1 + sum exp(beta (cos - base))) / beta for
    the negatives; the loss is the mean over all images of the batch, those that keep nothing included.
    """
    with torch.autocast(vectors.device.type, enabled=False):
        units = unit(vectors)
        cosines = units @ units.T
        negative = labels[:, None] != labels
        positive = ~negative & ~torch.eye(len(units), dtype=torch.bool, device=units.device)
        least = torch.where(positive, cosines, torch.inf).amin(dim=1, keepdim=True)
        most = torch.where(negative, cosines, -torch.inf).amax(dim=1, keepdim=True)
        kept_negatives = negative & (cosines + epsilon > least)
        kept_positives = positive & (cosines - epsilon < most)
        pulls = log_one_plus_sum_exp(alpha * (base - cosines), kept_positives, dim=1) / alpha
        pushes = log_one_plus_sum_exp(beta * (cosines - base), kept_negatives, dim=1) / beta
        return (pulls + pushes).mean()


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
