"""The triplet loss: an anchor nearer to its positive than to its negative, by a margin."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from bench.training.losses.distances import PairDistances, unit
from bench.training.losses.mining import Partners, Triplets, batch_hard, distance_weighted, random_negatives, semi_hard

Mining = Literal["random", "semi_hard", "batch_hard", "distance_weighted"]


@torch.no_grad()
def mine_triplets(
    pairs: PairDistances,
    labels: Tensor,
    mining: Mining,
    *,
    dim: int,
    margin: float,
    generator: torch.Generator | None = None,
    squared: bool = False,
) -> Triplets:
    """Return the triplets of a batch.

    dim: of the vectors. The margin, in distances of unit vectors (in their squares with ``squared``), matters to
    semi-hard mining only; the generator (torch's own without one) to the two that draw. ``losses.mining`` says what
    each kind is. Raises ValueError for another kind.
    """
    if mining == "random":
        return random_negatives(labels, generator)
    distances = pairs.matrix()
    if mining == "semi_hard":
        return semi_hard(distances.square() if squared else distances, labels, margin)
    if mining == "batch_hard":
        return batch_hard(distances, labels)
    if mining == "distance_weighted":
        return distance_weighted(distances, labels, dim, generator)
    raise ValueError(f"there is no mining {mining!r}: random, semi_hard, batch_hard or distance_weighted")


def triplet_loss(
    vectors: Tensor,
    labels: Tensor,
    *,
    margin: float,
    mining: Mining,
    generator: torch.Generator | None = None,
    squared: bool = False,
) -> Tensor:
    """Return the mean of max(d(anchor, positive) - d(anchor, negative) + margin, 0) over triplets where it is above 0.

    d is the Euclidean distance of unit vectors, or its square (FaceNet) with ``squared``. The mean leaves out the
    triplets that are in order already: late in training they are nearly all, and would shrink every step.
    """
    with torch.autocast(vectors.device.type, enabled=False):
        distances = PairDistances.of(vectors)
        found = mine_triplets(
            distances, labels, mining, dim=vectors.shape[1], margin=margin, generator=generator, squared=squared
        )
        anchors = torch.arange(len(labels), device=labels.device)[:, None].expand_as(found.positives)
        near, far = distances.between(anchors, found.positives), distances.between(anchors, found.negatives)
        gaps = near.square() - far.square() if squared else near - far
        losses = torch.where(found.chosen, (gaps + margin).clamp_min(0.0), 0.0)
        return losses.sum() / (losses > 0).sum().clamp_min(1)


@torch.no_grad()
def satisfied_triplets(vectors: Tensor, labels: Tensor, *, seed: int = 0, count: int = 10_000) -> float:
    """Return the share of random triplets whose positive is nearer to the anchor than the negative, in [0, 1].

    Anchors are drawn from the images with a positive and a negative, all equally likely, then one of each; the
    denominator is ``count``. Equal distances are not in order. NaN where no image has both.
    """
    partners = Partners.of(labels)
    possible = ((partners.same > 0) & (partners.other > 0)).nonzero().squeeze(1)
    if len(possible) == 0:
        return float("nan")
    generator = torch.Generator().manual_seed(seed)
    anchors = possible[torch.randint(len(possible), (count,), generator=generator).to(labels.device)]
    positives, negatives = partners.draw_same(anchors, generator), partners.draw_other(anchors, generator)
    with torch.autocast(vectors.device.type, enabled=False):
        units = unit(vectors)
        near = (units[anchors] - units[positives]).square().sum(dim=1)
        far = (units[anchors] - units[negatives]).square().sum(dim=1)
    return float((near < far).float().mean())
