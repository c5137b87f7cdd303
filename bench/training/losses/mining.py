"""Which negative goes with an anchor and its positive: four answers from the distances of a batch.

Distances are float ``(n, n)`` without a gradient, labels int64 ``(n,)``. All but batch-hard make one triplet of every
ordered pair of one class; an anchor without a positive or without a negative has no triplet. No size depends on a value
of the device's (see `bench.training.capturable`): what is no triplet is masked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Triplets:
    """Triplets of a batch of n images, as many as k of each anchor; row i is that of anchor i.

    positives, negatives: int64 ``(n, k)``; chosen: bool ``(n, k)``, which are triplets.
    """

    positives: Tensor
    negatives: Tensor
    chosen: Tensor

    def listed(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return anchors, positives and negatives, int64 ``(triplets,)`` each, by anchor and then by positive."""
        anchors, turn = self.chosen.nonzero(as_tuple=True)
        return anchors, self.positives[anchors, turn], self.negatives[anchors, turn]


def uniform(shape: Sequence[int], device: torch.device, generator: torch.Generator | None) -> Tensor:
    """Return numbers in [0, 1), float32 of a shape on the device.

    They are drawn where the generator is. Without one they are drawn on the CPU, so that a seed means the same on every
    device; but not for CUDA, whose own generator goes on from one replay of a graph to the next.
    """
    own = device if device.type == "cuda" else torch.device("cpu")
    source = own if generator is None else generator.device
    return torch.rand(*shape, generator=generator, device=source).to(device)


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
        """Return for each of the rows, of any shape, another one of its class, equally likely; any if it has none."""
        spot = self.first[rows] + _below(self.same[rows], generator)
        return self.order[(spot + (spot >= self.place[rows])).clamp_max(len(self.order) - 1)]

    def draw_other(self, rows: Tensor, generator: torch.Generator | None) -> Tensor:
        """Return for each of the rows, of any shape, one of another class, equally likely; any if there is none."""
        spot = _below(self.other[rows], generator)
        spot = spot + torch.where(spot >= self.first[rows], self.size[rows], 0)
        return self.order[spot.clamp_max(len(self.order) - 1)]


def _below(limits: Tensor, generator: torch.Generator | None) -> Tensor:
    """Return for each limit an integer in [0, limit), each equally likely; 0 for 0."""
    return (uniform(limits.shape, limits.device, generator) * limits).long()


def random_negatives(labels: Tensor, generator: torch.Generator | None) -> Triplets:
    """Return each pair with a uniformly random negative."""
    rows = torch.arange(len(labels), device=labels.device)[:, None].expand(-1, len(labels))
    return _of_pairs(labels, Partners.of(labels).draw_other(rows, generator))


def semi_hard(distances: Tensor, labels: Tensor, margin: float) -> Triplets:
    """Return each pair with the nearest negative that is farther than the positive, by less than the margin.

    Schroff et al. (CVPR 2015). Where no negative is in that band, the farthest one stands in, as in TensorFlow's
    implementation: nearer negatives than the positive would collapse the vectors early in training, and of those the
    farthest is the mildest; it costs nothing where it is beyond the margin.
    """
    # Sorted once a row, a pair's negative is found by bisection: n^2 log n, however many pairs there are.
    others, rows = distances.masked_fill(labels[:, None] == labels, torch.inf).sort(dim=1)
    nearest = torch.searchsorted(others, distances, right=True)
    farthest = (Partners.of(labels).other - 1)[:, None]
    beyond = others.gather(1, nearest.clamp_max(len(labels) - 1))
    in_band = (nearest <= farthest) & (beyond < distances + margin)
    return _of_pairs(labels, rows.gather(1, torch.where(in_band, nearest, farthest).clamp_min(0)))


def batch_hard(distances: Tensor, labels: Tensor) -> Triplets:
    """Return each anchor with its farthest positive and its nearest negative (Hermans et al., 2017)."""
    same, partners = labels[:, None] == labels, Partners.of(labels)
    positives = distances.masked_fill(~_but_self(same), -torch.inf).argmax(dim=1, keepdim=True)
    negatives = distances.masked_fill(same, torch.inf).argmin(dim=1, keepdim=True)
    return Triplets(positives, negatives, ((partners.same > 0) & (partners.other > 0))[:, None])


def distance_weighted(distances: Tensor, labels: Tensor, dim: int, generator: torch.Generator | None) -> Triplets:
    """Return each pair with a negative drawn by ``negative_weights``: where a uniform number falls among their sums."""
    sums = negative_weights(distances, labels, dim).cumsum(dim=1)
    total = sums[:, -1:]
    drawn = uniform(distances.shape, labels.device, generator) * total
    drawn = torch.minimum(drawn, torch.nextafter(total, torch.zeros_like(total)))  # rounding must not reach the end
    return _of_pairs(labels, torch.searchsorted(sums, drawn, right=True).clamp_max(len(labels) - 1))


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


def _of_pairs(labels: Tensor, negatives: Tensor) -> Triplets:
    """Return a triplet of each ordered pair of one class that is not the only one; negatives: int64 ``(n, n)``."""
    same = labels[:, None] == labels
    positives = torch.arange(len(labels), device=labels.device).expand_as(negatives)
    return Triplets(positives, negatives, _but_self(same) & ~same.all(dim=1, keepdim=True))


def _but_self(same: Tensor) -> Tensor:
    return same & ~torch.eye(len(same), dtype=torch.bool, device=same.device)
