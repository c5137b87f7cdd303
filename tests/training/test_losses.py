"""The ArcFace head against the formula on angles and against the field's library."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pytorch_metric_learning.losses import ArcFaceLoss
from torch.nn import functional as F

from bench.training.losses import ArcFaceHead, add_angular_margin


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
    generator = torch.Generator().manual_seed(seed)
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
