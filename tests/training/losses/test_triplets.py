"""The triplet loss and the share of triplets in order against plain loops and the field's library."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss
from torch import Tensor
from torch.nn import functional as F

from bench.training.losses import Mining, mine_triplets, satisfied_triplets, triplet_loss
from bench.training.losses.distances import PairDistances

LABELS = st.lists(st.integers(0, 3), min_size=1, max_size=12).map(torch.tensor)


def vectors_of(labels: Tensor, seed: int, *, copies: bool) -> Tensor:
    """Random vectors; with copies the second half repeats the first, so that also images of two classes are equal."""
    vectors = torch.randn(len(labels), 6, generator=torch.Generator().manual_seed(seed))
    return vectors[torch.arange(len(labels)) % max(1, len(labels) // 2)] if copies else vectors


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def mined(vectors: Tensor, labels: Tensor, mining: Mining, margin: float) -> tuple[Tensor, Tensor, Tensor]:
    dim, pairs = vectors.shape[1], PairDistances.of(vectors)
    return mine_triplets(pairs, labels, mining, dim=dim, margin=margin, generator=seeded()).listed()


# Semi-hard mining of squares has another band: a test of its own, below.
@pytest.mark.parametrize(
    ("mining", "power"),
    [(mining, power) for mining in get_args(Mining) for power in (1, 2) if (mining, power) != ("semi_hard", 2)],
)
@given(labels=LABELS, seed=st.integers(0, 100), margin=st.floats(0.05, 1.0), copies=st.booleans())
def test_the_triplet_loss_equals_a_loop_over_the_mined_triplets(
    *, mining: Mining, power: int, labels: Tensor, seed: int, margin: float, copies: bool
) -> None:
    vectors = vectors_of(labels, seed, copies=copies)
    units = F.normalize(vectors.double(), dim=1)
    losses = []
    for a, p, n in zip(*mined(vectors, labels, mining, margin), strict=True):
        near, far = (units[a] - units[p]).norm().item(), (units[a] - units[n]).norm().item()
        losses.append(max(near**power - far**power + margin, 0.0))
    active = [loss for loss in losses if loss > 1e-7]
    loss = triplet_loss(vectors, labels, margin=margin, mining=mining, generator=seeded(), squared=power == 2)
    assert loss.item() == pytest.approx(sum(active) / len(active) if active else 0.0, abs=1e-5)


@pytest.mark.parametrize("mining", get_args(Mining))
@given(seed=st.integers(0, 100), margin=st.floats(0.05, 1.0), copies=st.booleans())
def test_the_triplet_loss_and_its_gradient_equal_pytorch_metric_learning(
    mining: Mining, seed: int, margin: float, copies: bool
) -> None:
    labels = torch.arange(16) % 3
    ours = vectors_of(labels, seed, copies=copies).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    rows = mined(ours, labels, mining, margin)
    loss = triplet_loss(ours, labels, margin=margin, mining=mining, generator=seeded())
    wanted = TripletMarginLoss(margin, distance=LpDistance())(theirs, labels, rows)
    loss.backward()  # type: ignore[no-untyped-call]
    wanted.backward()
    assert loss.item() == pytest.approx(wanted.item(), abs=1e-5)
    assert ours.grad is not None
    assert theirs.grad is not None
    assert torch.allclose(ours.grad, theirs.grad, atol=1e-5)


def test_semi_hard_mining_of_squared_distances_has_its_band_in_squares() -> None:
    # On the circle: the positive at distance .1, negatives at .3 and 1.9; .09 - .01 is within a margin of .1, .3 - .1
    # is not.
    angles = torch.tensor([2 * math.asin(d / 2) for d in (0.0, 0.1)] + [-2 * math.asin(d / 2) for d in (0.3, 1.9)])
    vectors, labels = torch.stack([angles.cos(), angles.sin()], dim=1), torch.tensor([0, 0, 1, 2])
    assert triplet_loss(vectors, labels, margin=0.1, mining="semi_hard").item() == 0.0
    assert triplet_loss(vectors, labels, margin=0.1, mining="semi_hard", squared=True).item() == pytest.approx(0.02)


def test_the_share_in_order_is_near_that_of_all_triplets() -> None:
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])
    vectors = vectors_of(labels, 4, copies=False)
    distances, kinds, shares = torch.cdist(F.normalize(vectors), F.normalize(vectors)), labels.tolist(), []
    for a in range(8):
        positives = [p for p in range(8) if p != a and kinds[p] == kinds[a]]
        negatives = [n for n in range(8) if kinds[n] != kinds[a]]
        order = [float(distances[a, p] < distances[a, n]) for p in positives for n in negatives]
        shares.append(sum(order) / len(order))
    assert satisfied_triplets(vectors, labels, count=40_000) == pytest.approx(sum(shares) / 8, abs=0.01)


def test_satisfied_triplets_are_all_none_or_missing_as_expected() -> None:
    labels = torch.tensor([0, 0, 1, 1])
    assert satisfied_triplets(torch.eye(2)[labels], labels) == 1.0
    assert satisfied_triplets(torch.ones(4, 2), labels) == 0.0
    assert math.isnan(satisfied_triplets(torch.eye(4), torch.arange(4)))
    assert math.isnan(satisfied_triplets(torch.eye(4), torch.zeros(4, dtype=torch.int64)))


def test_the_share_in_order_repeats_for_a_seed_and_leaves_torchs_generator_alone() -> None:
    labels = torch.arange(40) % 4
    vectors, state = vectors_of(labels, 0, copies=False), torch.get_rng_state()
    assert satisfied_triplets(vectors, labels, seed=1) == satisfied_triplets(vectors * 100, labels, seed=1)
    assert satisfied_triplets(vectors, labels, seed=1) != satisfied_triplets(vectors, labels, seed=2)
    assert torch.equal(state, torch.get_rng_state())
