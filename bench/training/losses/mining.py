"""Which negative goes with an anchor and its positive: four answers from the distances of a batch.

Distances are float ``(n, n)`` without a gradient, labels int64 ``(n,)``. Each miner returns the triplets' anchors,
positives and negatives, int64 ``(k,)`` each, by anchor and then by positive; an anchor without a positive or without a
negative has no triplet. All but batch-hard make one triplet of every ordered pair of one class.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


def uniform(count: int, device: torch.device, generator: torch.Generator | None) -> Tensor:
    """Return ``count`` numbers in [0, 1), float32 on the device.

    They are drawn where the generator is (on the CPU without one), so that a seed means the same on every device.
    """
    source = torch.device("cpu") if generator is None else generator.device
    return torch.rand(count, generator=generator, device=source).to(device)


@dataclass(frozen=True)
class Partners:
    """The rows sorted by class, so that a class is one stretch of them. All int64 ``(n,)``.

    order: the rows, sorted; place: where a row is in ``order``; first: where its class begins there; size: how many
    rows its class has.
    """

    order: Tensor
    place: Tensor
    first: Tensor
    size: Tensor

    @classmethod
    def of(cls, labels: Tensor) -> Partners:
        order = labels.argsort(stable=True)
        ordered = labels[order]
        first = torch.searchsorted(ordered, labels)
        return cls(order, order.argsort(), first, torch.searchsorted(ordered, labels, right=True) - first)

    @property
    def same(self) -> Tensor:
        """How many partners of its own class each row has."""
        return self.size - 1

    @property
    def other(self) -> Tensor:
        """How many partners of other classes each row has."""
        return len(self.size) - self.size

    def draw_same(self, rows: Tensor, generator: torch.Generator | None) -> Tensor:
        """Return for each of the rows ``(k,)`` another one of its class, each equally likely; it must have one."""
        spot = self.first[rows] + _below(self.same[rows], generator)
        return self.order[spot + (spot >= self.place[rows])]

    def draw_other(self, rows: Tensor, generator: torch.Generator | None) -> Tensor:
        """Return for each of the rows ``(k,)`` one of another class, each equally likely; there must be one."""
        spot = _below(self.other[rows], generator)
        return self.order[spot + torch.where(spot >= self.first[rows], self.size[rows], 0)]


def _below(limits: Tensor, generator: torch.Generator | None) -> Tensor:
    """Return for each limit ``(k,)`` an integer in [0, limit), each equally likely."""
    return (uniform(len(limits), limits.device, generator) * limits).long()


Triplets = tuple[Tensor, Tensor, Tensor]


def random_negatives(labels: Tensor, generator: torch.Generator | None) -> Triplets:
    """Return each pair with a uniformly random negative."""
    anchors, positives = _pairs_with_negatives(labels)
    return anchors, positives, Partners.of(labels).draw_other(anchors, generator)


def semi_hard(distances: Tensor, labels: Tensor, margin: float) -> Triplets:
    """Return each pair with the nearest negative that is farther than the positive, by less than the margin.

    Schroff et al. (CVPR 2015). Where no negative is in that band, the farthest one stands in, as in TensorFlow's
    implementation: nearer negatives than the positive would collapse the vectors early in training, and of those the
    farthest is the mildest; it costs nothing where it is beyond the margin.
    """
    anchors, positives = _pairs_with_negatives(labels)
    # Sorted once a row, a pair's negative is found by bisection: n^2 log n, however many pairs there are.
    others, rows = distances.masked_fill(labels[:, None] == labels, torch.inf).sort(dim=1)
    nearest = torch.searchsorted(others, distances, right=True)[anchors, positives]
    farthest = Partners.of(labels).other[anchors] - 1
    beyond = others[anchors, nearest.clamp_max(len(labels) - 1)]
    in_band = (nearest <= farthest) & (beyond < distances[anchors, positives] + margin)
    return anchors, positives, rows[anchors, torch.where(in_band, nearest, farthest)]


def batch_hard(distances: Tensor, labels: Tensor) -> Triplets:
    """Return each anchor with its farthest positive and its nearest negative (Hermans et al., 2017)."""
    same = labels[:, None] == labels
    positives = distances.masked_fill(~_but_self(same), -torch.inf).argmax(dim=1)
    negatives = distances.masked_fill(same, torch.inf).argmin(dim=1)
    partners = Partners.of(labels)
    anchors = ((partners.same > 0) & (partners.other > 0)).nonzero().squeeze(1)
    return anchors, positives[anchors], negatives[anchors]


def distance_weighted(distances: Tensor, labels: Tensor, dim: int, generator: torch.Generator | None) -> Triplets:
    """Return each pair with a negative drawn by ``negative_weights``."""
    anchors, positives = _pairs_with_negatives(labels)
    if len(anchors) == 0:
        return anchors, positives, anchors.clone()
    weights = negative_weights(distances, labels, dim)
    source = torch.device("cpu") if generator is None else generator.device
    # As many draws a row as the largest class has pairs; a row without a negative is in no pair and draws anything.
    drawable = torch.where(weights.sum(dim=1, keepdim=True) > 0, weights, 1.0).to(source)
    starts = torch.searchsorted(anchors, anchors)  # anchors come sorted: where an anchor's pairs begin
    turn = torch.arange(len(anchors), device=anchors.device) - starts
    draws = torch.multinomial(drawable, int(turn.max()) + 1, replacement=True, generator=generator)
    return anchors, positives, draws.to(labels.device)[anchors, turn]


def negative_weights(distances: Tensor, labels: Tensor, dim: int) -> Tensor:
    """Return the chance of each image as an anchor's negative, float ``(n, n)``; a row sums to 1, or 0 without one.

    Wu et al. (ICCV 2017): inversely to how common a distance D is on the unit sphere of ``dim`` dimensions, whose
    density is D^(dim-2) (1 - D^2/4)^((dim-3)/2); so that all distances are seen, not only the usual square root of 2.
    D is raised to 0.5, for the gradient's variance, and from 1.4 on a negative is not drawn, for it costs nothing (both
    the paper's numbers). Where all negatives are that far they are equally likely, as in the authors' code.
    """
    raised = distances.clamp(0.5, 1.4)
    # In logarithms: at 128 dimensions the weights themselves span more than float32 holds.
    logs = (2.0 - dim) * raised.log() - (dim - 3.0) / 2.0 * (1.0 - raised.square() / 4.0).log()
    negative = labels[:, None] != labels
    near = negative & (distances < 1.4)
    near = torch.where(near.any(dim=1, keepdim=True), near, negative)
    logs = torch.where(distances < 1.4, logs, 0.0)  # among far ones only: equally likely
    weights = logs.masked_fill(~near, -torch.inf).softmax(dim=1)
    return torch.where(near, weights, 0.0)  # a row without a negative has no softmax


def _pairs_with_negatives(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return all ordered pairs of one class whose class is not the only one, int64 ``(k,)`` each, sorted."""
    same = labels[:, None] == labels
    mixed = ~same.all(dim=1, keepdim=True)
    anchors, positives = (_but_self(same) & mixed).nonzero(as_tuple=True)
    return anchors, positives


def _but_self(same: Tensor) -> Tensor:
    return same & ~torch.eye(len(same), dtype=torch.bool, device=same.device)
