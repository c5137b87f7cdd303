"""What all losses promise, and the ArcFace head against the formula on angles and against the field's library."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pytorch_metric_learning.losses import ArcFaceLoss
from torch import Tensor
from torch.nn import functional as F

from bench.training.losses import (
    ArcFaceHead,
    CosineProjection,
    ProxyAnchorHead,
    SoftmaxHead,
    accuracy,
    add_angular_margin,
    all_pairs,
    balanced_pairs,
    contrastive_loss,
    multi_similarity_loss,
    supcon_loss,
    triplet_loss,
)

torch.manual_seed(0)
ARCFACE, PROXIES, SOFTMAX, PROJECTION = (
    ArcFaceHead(6, 8, 30.0),
    ProxyAnchorHead(6, 8),
    SoftmaxHead(6, 8),
    CosineProjection(),
)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "arcface": lambda v, y: ARCFACE(v, y, 0.3),
    "proxy_anchor": PROXIES,
    "softmax": lambda v, y: SOFTMAX(v, y, 0.1),
    "supcon": lambda v, y: supcon_loss(v, y, 0.1),
    "multi_similarity": multi_similarity_loss,
    "contrastive, all pairs": lambda v, y: contrastive_loss(v, all_pairs(y), 1.0),
    "contrastive, balanced pairs": lambda v, y: contrastive_loss(v, balanced_pairs(y, seeded()), 1.0),
    "cross-entropy, all pairs": lambda v, y: PROJECTION.loss(v, all_pairs(y)),
    "cross-entropy, balanced pairs": lambda v, y: PROJECTION.loss(v, balanced_pairs(y, seeded())),
    "triplet, random": lambda v, y: triplet_loss(v, y, margin=0.2, mining="random", generator=seeded()),
    "triplet, semi-hard": lambda v, y: triplet_loss(v, y, margin=0.2, mining="semi_hard"),
    "triplet, batch-hard": lambda v, y: triplet_loss(v, y, margin=0.2, mining="batch_hard"),
    "triplet, distance-weighted": lambda v, y: triplet_loss(
        v, y, margin=0.2, mining="distance_weighted", generator=seeded()
    ),
}
BATCHES = {
    "usual": (torch.randn(8, 6), torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])),
    "one class": (torch.randn(8, 6), torch.full((8,), 3)),
    "all classes different": (torch.randn(8, 6), torch.arange(8)),
    "all images equal": (torch.ones(8, 6), torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])),
    "all images equal and of one class": (torch.ones(8, 6), torch.zeros(8, dtype=torch.int64)),
    "opposite images": (torch.tensor([[1.0], [-1.0]]).repeat(4, 6), torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])),
    "a dead encoder": (torch.zeros(8, 6), torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])),
    "two images": (torch.randn(2, 6), torch.tensor([4, 4])),
    "two images of two classes": (torch.randn(2, 6), torch.tensor([4, 5])),
    "one image": (torch.randn(1, 6), torch.tensor([7])),
}


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_and_its_gradient_are_finite_whatever_the_batch(loss: str, batch: str) -> None:
    vectors, labels = BATCHES[batch]
    vectors = vectors.clone().requires_grad_()
    value = LOSSES[loss](vectors, labels)
    value.backward()  # type: ignore[no-untyped-call]
    assert value.shape == ()
    assert torch.isfinite(value)
    assert vectors.grad is not None
    assert torch.isfinite(vectors.grad).all()


@pytest.mark.parametrize("loss", [name for name in LOSSES if name not in ("arcface", "proxy_anchor", "softmax")])
def test_an_image_without_company_costs_nothing(loss: str) -> None:
    assert LOSSES[loss](*BATCHES["one image"]).item() == 0.0


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_of_half_precision_vectors_is_taken_in_single_precision(loss: str) -> None:
    vectors, labels = BATCHES["usual"]
    half = vectors.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        value = LOSSES[loss](half, labels)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(LOSSES[loss](half.float(), labels).item(), abs=1e-6)


@pytest.mark.parametrize("loss", [name for name in LOSSES if name != "softmax"])
def test_every_loss_but_softmax_looks_at_directions_only(loss: str) -> None:
    vectors, labels = BATCHES["usual"]
    lengths = torch.logspace(-3, 3, len(vectors))[:, None]
    wanted = LOSSES[loss](vectors, labels).item()
    assert LOSSES[loss](vectors * lengths, labels).item() == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_small_step_against_the_gradient_lowers_every_loss(loss: str) -> None:
    vectors, labels = BATCHES["usual"]
    vectors = vectors.clone().requires_grad_()
    before = LOSSES[loss](vectors, labels)
    (gradient,) = torch.autograd.grad(before, vectors)
    assert LOSSES[loss](vectors - 1e-3 * gradient / gradient.norm(), labels) < before


@given(st.floats(-0.999, 0.999), st.floats(0.0, 1.5))
def test_the_true_class_gets_the_cosine_of_the_widened_angle(cosine: float, margin: float) -> None:
    angle = math.acos(cosine) + margin
    # Past pi the logit goes on falling in a straight line instead of rising again.
    wanted = math.cos(angle) if angle < math.pi else cosine - margin * math.sin(margin)
    widened = add_angular_margin(torch.tensor([[cosine, 0.25]], dtype=torch.float64), torch.tensor([0]), margin)
    assert widened[0, 0].item() == pytest.approx(wanted, abs=1e-6)
    assert widened[0, 1].item() == 0.25


@pytest.mark.parametrize("cosine", [1.0, -1.0, 0.0])
def test_the_gradient_is_finite_where_an_angle_is_zero_or_pi(cosine: float) -> None:
    cosines = torch.tensor([[cosine, 0.1]], requires_grad=True)
    add_angular_margin(cosines, torch.tensor([0]), 0.5).sum().backward()  # type: ignore[no-untyped-call]
    assert cosines.grad is not None
    assert torch.isfinite(cosines.grad).all()


@given(st.integers(0, 1_000), st.floats(0.0, 1.0))
def test_the_loss_equals_pytorch_metric_learning_below_pi(seed: int, margin: float) -> None:
    generator = torch.manual_seed(seed)  # of the head's centres too
    vectors, labels = torch.randn(16, 8, generator=generator), torch.randint(0, 5, (16,), generator=generator)
    head = ArcFaceHead(8, 5, scale=20.0)
    cosines = head.cosines(vectors).gather(1, labels[:, None])
    theirs = ArcFaceLoss(5, 8, margin=math.degrees(margin), scale=20.0)
    theirs.W.data = head.centres.detach().T.clone()
    if (torch.acos(cosines) + margin < math.pi).all():
        assert head(vectors, labels, margin).item() == pytest.approx(theirs(vectors, labels).item(), abs=1e-4)


def test_a_margin_of_zero_is_a_scaled_softmax() -> None:
    head, vectors, labels = ArcFaceHead(4, 3, scale=10.0), torch.randn(6, 4), torch.tensor([0, 1, 2, 0, 1, 2])
    assert torch.allclose(head(vectors, labels, 0.0), F.cross_entropy(10.0 * head.cosines(vectors), labels), atol=1e-5)


def test_the_loss_of_half_precision_vectors_is_taken_in_single_precision() -> None:
    head = ArcFaceHead(4, 3, scale=10.0)
    with torch.autocast("cpu", torch.bfloat16):
        assert head(torch.randn(6, 4).bfloat16(), torch.tensor([0, 1, 2, 0, 1, 2]), 0.3).dtype == torch.float32


def test_accuracy_is_over_the_vectors_whose_class_has_weights_and_nan_without_any() -> None:
    cosines = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.4, 0.6]])
    assert accuracy(cosines, torch.tensor([0, 0, 2, 1])) == pytest.approx(2 / 3)
    assert math.isnan(accuracy(cosines, torch.full((4,), 2)))
