"""Losses of pairs of images that are of one class or not: contrastive, and cross-entropy on the projected cosine."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.training.losses.distances import PairDistances, unit
from bench.training.losses.mining import Partners, uniform


@dataclass(frozen=True)
class Pairs:
    """Pairs of different rows of a batch; left, right: int64 ``(k,)``; same: bool ``(k,)``, are they of one class?"""

    left: Tensor
    right: Tensor
    same: Tensor


def all_pairs(labels: Tensor) -> Pairs:
    """Return every two images of a batch once, the earlier one on the left."""
    left, right = torch.triu_indices(len(labels), len(labels), 1, device=labels.device)
    return Pairs(left, right, labels[left] == labels[right])


def balanced_pairs(labels: Tensor, generator: torch.Generator | None = None) -> Pairs:
    """Return a random partner for each image of a batch: of its class or of another one, with equal chance.

    An image without a partner of the drawn kind gets one of the other kind; an image alone in its batch is left out.
    Without a generator torch's own one is used.
    """
    partners = Partners.of(labels)
    wanted = uniform(len(labels), labels.device, generator) < 0.5
    same = torch.where(partners.other == 0, partners.same > 0, wanted & (partners.same > 0))
    left = ((partners.same > 0) | (partners.other > 0)).nonzero().squeeze(1)
    right, same = torch.empty_like(left), same[left]
    right[same] = partners.draw_same(left[same], generator)
    right[~same] = partners.draw_other(left[~same], generator)
    return Pairs(left, right, same)


def contrastive_loss(vectors: Tensor, pairs: Pairs, margin: float) -> Tensor:
    """Return the contrastive loss (Hadsell et al., CVPR 2006): d^2 for same, max(margin - d, 0)^2 for different.

    d is the Euclidean distance of unit vectors, 0 to 2. Half of the loss is the mean over the pairs of one class, half
    that over the others, which is what balanced pairs give on average; see ``_balanced_mean``.
    """
    with torch.autocast(vectors.device.type, enabled=False):
        distances = PairDistances.of(vectors).between(pairs.left, pairs.right)
        losses = torch.where(pairs.same, distances, (margin - distances).clamp_min(0.0)).square()
        return _balanced_mean(losses, pairs.same)


class CosineProjection(nn.Module):
    """A learnt straight line from a pair's cosine to the logit of "these are of one class".

    The weight is the exponential of what is learnt: it stays above zero, so that the probability grows with the cosine
    and ranks as the cosine does, and a step of the optimiser changes it by a share whatever its size. It begins at 10
    with a bias of -5: undecided at a cosine of one half, and neither flat nor saturated between 0 and 1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_weight = nn.Parameter(torch.tensor(math.log(10.0)))
        self.bias = nn.Parameter(torch.tensor(-5.0))

    def logit(self, cosine: Tensor) -> Tensor:
        """Return the logit of cosines of any shape, float32."""
        return cosine.float() * self.log_weight.exp() + self.bias

    def probability(self, cosine: Tensor) -> Tensor:
        """Return the probability of being of one class for cosines of any shape, float32 in [0, 1]."""
        return self.logit(cosine).sigmoid()

    def loss(self, vectors: Tensor, pairs: Pairs) -> Tensor:
        """Return the binary cross-entropy of the pairs, half from each kind; see ``_balanced_mean``."""
        with torch.autocast(vectors.device.type, enabled=False):
            units = unit(vectors)
            cosines = (units @ units.T).flatten().index_select(0, pairs.left * len(units) + pairs.right)
            losses = F.binary_cross_entropy_with_logits(self.logit(cosines), pairs.same.float(), reduction="none")
            return _balanced_mean(losses, pairs.same)


def _balanced_mean(losses: Tensor, same: Tensor) -> Tensor:
    """Return the mean over the two kinds of pairs of the mean within a kind; losses float and same bool, ``(k,)``.

    Where one kind is missing it is the other's mean, as the plain mean of balanced pairs would be; without any pair 0.
    """
    positives, negatives = same.sum(), (~same).sum()
    weights = torch.where(same, 1.0 / positives.clamp_min(1), 1.0 / negatives.clamp_min(1))
    kinds = (positives > 0).float() + (negatives > 0).float()
    return (weights * losses).sum() / kinds.clamp_min(1.0)
