"""Losses of pairs of images that are of one class or not: contrastive, and cross-entropy on the projected cosine."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.training.losses.distances import PairDistances, log_one_plus_sum_exp, picked, unit
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
    left = torch.arange(len(labels) if len(labels) > 1 else 0, device=labels.device)
    partners = Partners.of(labels)
    wanted = uniform(left.shape, labels.device, generator) < 0.5
    alone, only = partners.same[left] == 0, partners.other[left] == 0
    same = ~alone & (wanted | only)
    # Both are drawn for every image, and one is kept: how many there are of a kind is not known on the host.
    right = torch.where(same, partners.draw_same(left, generator), partners.draw_other(left, generator))
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
            cosines = picked((units @ units.T).flatten(), pairs.left * len(units) + pairs.right)
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
