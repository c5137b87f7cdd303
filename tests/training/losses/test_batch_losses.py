"""SupCon, multi-similarity, proxy-anchor and softmax against plain loops and the field's library."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pytorch_metric_learning.losses import MultiSimilarityLoss, ProxyAnchorLoss, SupConLoss
from pytorch_metric_learning.miners import MultiSimilarityMiner
from torch import Tensor
from torch.nn import functional as F

from bench.training.losses import ProxyAnchorHead, SoftmaxHead, multi_similarity_loss, supcon_loss

LABELS = st.lists(st.integers(0, 3), min_size=1, max_size=12).map(torch.tensor)
SEEDS = st.integers(0, 100)


def vectors_of(labels: Tensor, seed: int, *, copies: bool) -> Tensor:
    """Random vectors; with copies the second half repeats the first, so that also images of two classes are equal."""
    vectors = torch.randn(len(labels), 6, generator=torch.Generator().manual_seed(seed))
    return vectors[torch.arange(len(labels)) % max(1, len(labels) // 2)] if copies else vectors


def cosines_of(vectors: Tensor) -> list[list[float]]:
    units = F.normalize(vectors.double(), dim=1)
    rows: list[list[float]] = (units @ units.T).tolist()
    return rows


def same_gradient(ours: Tensor, theirs: Tensor, loss: Tensor, wanted: Tensor) -> bool:
    mine = torch.autograd.grad(loss, ours)[0]
    return torch.allclose(mine, torch.autograd.grad(wanted, theirs)[0], atol=1e-5, rtol=1e-4)


@given(LABELS, SEEDS, st.floats(0.05, 1.0), st.booleans())
def test_supcon_equals_a_loop_over_anchors_and_positives(
    labels: Tensor, seed: int, temperature: float, copies: bool
) -> None:
    vectors, kinds = vectors_of(labels, seed, copies=copies), labels.tolist()
    cosines, losses = cosines_of(vectors), []
    for i, kind in enumerate(kinds):
        others = [a for a in range(len(kinds)) if a != i]
        positives = [p for p in others if kinds[p] == kind]
        total = sum(math.exp(cosines[i][a] / temperature) for a in others)
        if positives:
            terms = [math.log(math.exp(cosines[i][p] / temperature) / total) for p in positives]
            losses.append(-sum(terms) / len(terms))
    wanted = sum(losses) / len(losses) if losses else 0.0
    assert supcon_loss(vectors, labels, temperature).item() == pytest.approx(wanted, abs=1e-5, rel=1e-5)


@given(SEEDS, st.floats(0.05, 1.0), st.booleans())
def test_supcon_and_its_gradient_equal_pytorch_metric_learning(seed: int, temperature: float, copies: bool) -> None:
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 3, 0, 2, 2])
    ours = vectors_of(labels, seed, copies=copies).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    loss, wanted = supcon_loss(ours, labels, temperature), SupConLoss(temperature)(theirs, labels)
    assert loss.item() == pytest.approx(wanted.item(), abs=1e-5)
    assert same_gradient(ours, theirs, loss, wanted)


@given(LABELS, SEEDS, st.floats(0.01, 0.5), st.booleans())
def test_multi_similarity_equals_a_loop_over_anchors(labels: Tensor, seed: int, epsilon: float, copies: bool) -> None:
    vectors, kinds = vectors_of(labels, seed, copies=copies), labels.tolist()
    cosines, total = cosines_of(vectors), 0.0
    for i, kind in enumerate(kinds):
        positives = [cosines[i][j] for j in range(len(kinds)) if j != i and kinds[j] == kind]
        negatives = [cosines[i][j] for j in range(len(kinds)) if kinds[j] != kind]
        if positives and negatives:
            kept = [s for s in positives if s - epsilon < max(negatives)]
            total += math.log1p(sum(math.exp(-2 * (s - 0.5)) for s in kept)) / 2
            kept = [s for s in negatives if s + epsilon > min(positives)]
            total += math.log1p(sum(math.exp(50 * (s - 0.5)) for s in kept)) / 50
    loss = multi_similarity_loss(vectors, labels, epsilon=epsilon)
    assert loss.item() == pytest.approx(total / len(kinds), abs=1e-5)


@given(SEEDS, st.floats(0.01, 0.5), st.booleans())
def test_multi_similarity_equals_pytorch_metric_learning(
    seed: int, epsilon: float, copies: bool
) -> None:
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 3, 0, 2, 2])
    ours = vectors_of(labels, seed, copies=copies).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    loss = multi_similarity_loss(ours, labels, alpha=3.0, beta=40.0, base=0.4, epsilon=epsilon)
    wanted = MultiSimilarityLoss(3.0, 40.0, 0.4)(theirs, labels, MultiSimilarityMiner(epsilon)(theirs, labels))
    assert loss.item() == pytest.approx(wanted.item(), abs=1e-5)
    assert same_gradient(ours, theirs, loss, wanted)


@given(LABELS, SEEDS, st.floats(0.0, 0.5), st.booleans())
def test_proxy_anchor_equals_a_loop_over_the_proxies(labels: Tensor, seed: int, margin: float, copies: bool) -> None:
    vectors, head = vectors_of(labels, seed, copies=copies), ProxyAnchorHead(6, 5, margin, alpha=16.0)
    cosines = F.normalize(vectors.double(), dim=1) @ F.normalize(head.proxies.detach().double(), dim=1).T
    pulls, pushes = [], []
    for proxy in range(5):
        own = cosines[labels == proxy, proxy].tolist()
        if own:
            pulls.append(math.log1p(sum(math.exp(-16 * (s - margin)) for s in own)))
        pushes.append(math.log1p(sum(math.exp(16 * (s + margin)) for s in cosines[labels != proxy, proxy].tolist())))
    wanted = sum(pulls) / len(pulls) + sum(pushes) / 5
    assert head(vectors, labels).item() == pytest.approx(wanted, abs=1e-5, rel=1e-5)


@given(LABELS, SEEDS, st.booleans())
def test_proxy_anchor_and_its_gradient_equal_pytorch_metric_learning(labels: Tensor, seed: int, copies: bool) -> None:
    head, oracle = ProxyAnchorHead(6, 5), ProxyAnchorLoss(5, 6)
    oracle.proxies.data = head.proxies.detach().clone()
    ours = vectors_of(labels, seed, copies=copies).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    loss, wanted = head(ours, labels), oracle(theirs, labels)
    assert loss.item() == pytest.approx(wanted.item(), abs=1e-5, rel=1e-5)
    assert torch.allclose(
        torch.autograd.grad(loss, head.proxies, retain_graph=True)[0],
        torch.autograd.grad(wanted, oracle.proxies, retain_graph=True)[0],
        atol=1e-4,
    )
    assert same_gradient(ours, theirs, loss, wanted)


@given(LABELS, SEEDS, st.floats(0.0, 0.9))
def test_softmax_head_is_label_smoothed_cross_entropy(
    labels: Tensor, seed: int, smoothing: float
) -> None:
    vectors, head = vectors_of(labels, seed, copies=False), SoftmaxHead(6, 4)
    logits = vectors @ head.classifier.weight.T + head.classifier.bias
    assert torch.allclose(head.logits(vectors), logits, atol=1e-5)
    wanted = F.one_hot(labels, 4) * (1 - smoothing) + smoothing / 4
    loss = -(wanted * logits.log_softmax(dim=1)).sum(dim=1).mean()
    assert head(vectors, labels, smoothing).item() == pytest.approx(loss.item(), abs=1e-5)


def test_extreme_scales_stay_finite() -> None:
    labels, vectors = torch.tensor([0, 0, 1, 1]), torch.randn(4, 6)
    assert math.isfinite(supcon_loss(vectors, labels, 1e-3).item())
    assert math.isfinite(multi_similarity_loss(vectors, labels, beta=1e4, epsilon=2.0).item())
    assert math.isfinite(ProxyAnchorHead(6, 2, alpha=1e4)(vectors, labels).item())
