"""Pairs and their losses against plain loops and against the field's library."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import ContrastiveLoss
from pytorch_metric_learning.reducers import MeanReducer
from torch import Tensor
from torch.nn import functional as F

from bench.training.losses import CosineProjection, Pairs, all_pairs, balanced_pairs, contrastive_loss

LABELS = st.lists(st.integers(0, 3), min_size=1, max_size=12).map(torch.tensor)


def vectors_of(labels: Tensor, seed: int, *, copies: bool) -> Tensor:
    """Random vectors; with copies the second half repeats the first, so that also images of two classes are equal."""
    vectors = torch.randn(len(labels), 6, generator=torch.Generator().manual_seed(seed))
    return vectors[torch.arange(len(labels)) % max(1, len(labels) // 2)] if copies else vectors


def mean_of_kinds(losses: list[float], same: list[bool]) -> float:
    """The mean within each kind, then over the kinds there are."""
    kinds = [[loss for loss, s in zip(losses, same, strict=True) if s is kind] for kind in (True, False)]
    means = [sum(kind) / len(kind) for kind in kinds if kind]
    return sum(means) / len(means) if means else 0.0


@given(LABELS)
def test_all_pairs_are_every_two_images_once(labels: Tensor) -> None:
    pairs = all_pairs(labels)
    assert list(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True)) == list(
        combinations(range(len(labels)), 2)
    )
    assert torch.equal(pairs.same, labels[pairs.left] == labels[pairs.right])


@given(LABELS, st.integers(0, 100))
def test_balanced_pairs_give_each_image_one_partner_of_its_kind(
    labels: Tensor, seed: int
) -> None:
    pairs = balanced_pairs(labels, torch.Generator().manual_seed(seed))
    again = balanced_pairs(labels, torch.Generator().manual_seed(seed))
    assert pairs.left.tolist() == (list(range(len(labels))) if len(labels) > 1 else [])
    assert (pairs.left != pairs.right).all()
    assert torch.equal(pairs.same, labels[pairs.left] == labels[pairs.right])
    assert torch.equal(pairs.right, again.right)


def test_balanced_pairs_are_half_positive_and_uniform() -> None:
    labels, generator, rounds = torch.tensor([0, 1, 0, 1, 1, 0, 0, 2]), torch.Generator().manual_seed(0), 8_000
    counts = torch.zeros(8, 8)
    for _ in range(rounds):
        pairs = balanced_pairs(labels, generator)
        counts[pairs.left, pairs.right] += 1
    same = (labels[:, None] == labels) & ~torch.eye(8, dtype=torch.bool)
    expected = torch.where(
        same, 0.5 / same.sum(1, keepdim=True), 0.5 / (labels[:, None] != labels).sum(1, keepdim=True)
    )
    expected.fill_diagonal_(0)
    expected[7] = (labels != 2) / 7  # alone of its class: always a partner of another one
    assert torch.allclose(counts / rounds, expected, atol=0.02)


@given(LABELS, st.integers(0, 100), st.floats(0.1, 1.9), st.booleans())
def test_the_contrastive_loss_equals_a_loop_over_the_pairs(
    labels: Tensor, seed: int, margin: float, copies: bool
) -> None:
    vectors = vectors_of(labels, seed, copies=copies)
    for pairs in (all_pairs(labels), balanced_pairs(labels)):
        units = F.normalize(vectors.double(), dim=1)
        losses = []
        for left, right, same in zip(pairs.left.tolist(), pairs.right.tolist(), pairs.same.tolist(), strict=True):
            distance = (units[left] - units[right]).norm().item()
            losses.append(distance**2 if same else max(margin - distance, 0.0) ** 2)
        wanted = mean_of_kinds(losses, pairs.same.tolist())
        assert contrastive_loss(vectors, pairs, margin).item() == pytest.approx(wanted, abs=1e-5)


class SquaredContrastive(ContrastiveLoss):  # type: ignore[misc]  # the library has no types
    """The library's loss is linear in the distance; Hadsell's squares both terms."""

    def pos_calc(self, distances: Tensor, margin: float) -> Tensor:
        loss: Tensor = super().pos_calc(distances, margin)
        return loss.square()

    def neg_calc(self, distances: Tensor, margin: float) -> Tensor:
        loss: Tensor = super().neg_calc(distances, margin)
        return loss.square()


@given(st.integers(0, 100), st.floats(0.1, 1.9), st.booleans())
def test_contrastive_loss_is_half_of_pytorch_metric_learnings_squared(
    seed: int, margin: float, copies: bool
) -> None:
    labels = torch.arange(16) % 3
    ours = vectors_of(labels, seed, copies=copies).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    oracle = SquaredContrastive(0.0, margin, distance=LpDistance(), reducer=MeanReducer())
    loss, wanted = contrastive_loss(ours, all_pairs(labels), margin), oracle(theirs, labels) / 2
    loss.backward()  # type: ignore[no-untyped-call]
    wanted.backward()
    assert loss.item() == pytest.approx(wanted.item(), abs=1e-5)
    assert ours.grad is not None
    assert theirs.grad is not None
    assert torch.allclose(ours.grad, theirs.grad, atol=1e-5)


@given(LABELS, st.integers(0, 100), st.floats(-3, 3), st.floats(-8, 3), st.booleans())
def test_the_cross_entropy_of_the_projected_cosine_equals_a_loop_over_the_pairs(
    labels: Tensor, seed: int, log_weight: float, bias: float, copies: bool
) -> None:
    vectors, pairs, projection = vectors_of(labels, seed, copies=copies), all_pairs(labels), CosineProjection()
    projection.load_state_dict({"log_weight": torch.tensor(log_weight), "bias": torch.tensor(bias)})
    units = F.normalize(vectors.double(), dim=1)
    losses = []
    for left, right, same in zip(pairs.left.tolist(), pairs.right.tolist(), pairs.same.tolist(), strict=True):
        logit = math.exp(log_weight) * float(units[left] @ units[right]) + bias
        losses.append(math.log1p(math.exp(-logit if same else logit)))
    wanted = mean_of_kinds(losses, pairs.same.tolist())
    assert projection.loss(vectors, pairs).item() == pytest.approx(wanted, abs=1e-5, rel=1e-5)


def test_pair_probability_grows_with_cosine_from_one_half() -> None:
    projection, cosines = CosineProjection(), torch.linspace(-1, 1, 21)
    assert projection.probability(torch.tensor(0.5)).item() == pytest.approx(0.5, abs=1e-6)
    with torch.no_grad():
        projection.log_weight.fill_(-3.0)
    assert (projection.probability(cosines).diff() > 0).all()


def test_training_moves_both_numbers_of_the_projection() -> None:
    projection, labels = CosineProjection(), torch.tensor([0, 0, 1, 1])
    projection.loss(torch.randn(4, 6), all_pairs(labels)).backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None and parameter.grad != 0 for parameter in projection.parameters())


def test_pairs_of_one_kind_cost_their_plain_mean() -> None:
    vectors = torch.eye(3)  # every distance is the square root of 2
    pairs = Pairs(torch.tensor([0, 1]), torch.tensor([1, 2]), torch.tensor([True, True]))
    assert contrastive_loss(vectors, pairs, 1.0).item() == pytest.approx(2.0)
