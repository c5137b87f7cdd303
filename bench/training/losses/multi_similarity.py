"""The multi-similarity loss, with its mining."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.training.losses.distances import unit
from bench.training.losses.soft_maximum import log_one_plus_sum_exp


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
