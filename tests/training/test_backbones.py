"""Pretrained backbones: the right network, the right pixels, the right names."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.contract import ImageShape, UsageError
from bench.training.encoders.timm import LITE0, LITE2, Backbone, packaged_file

PHOTO, TINY = ImageShape(224, 224, 3), ImageShape(28, 28, 1)
SMALL = "test_resnet"  # timm's own for tests: half a million numbers


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def conv_same(x: Tensor, weight: Tensor, stride: int, groups: int = 1) -> Tensor:
    """TensorFlow's "SAME": as many outputs as inputs / stride, the odd pixel of padding right and below."""
    kernel, size = weight.shape[2], x.shape[2]
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    half = total // 2
    return F.conv2d(F.pad(x, (half, total - half, half, total - half)), weight, stride=stride, groups=groups)


def original_lite(x: Tensor, file: Path, strided: tuple[int, ...]) -> Tensor:
    """EfficientNet-Lite for square images, from the file's own tensors and the paper alone: float (n, 1280).

    strided: the blocks where stages 2, 3, 4 and 6 begin.
    """
    t: dict[str, Tensor] = torch.load(file, weights_only=True)

    def norm(x: Tensor, name: str) -> Tensor:
        mean, var, weight, bias = (t[f"{name}.{p}"] for p in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, mean, var, weight, bias, eps=1e-3)

    x = F.relu6(norm(conv_same(x, t["_conv_stem.weight"], 2), "_bn0"))
    blocks = sum(name.endswith("._project_conv.weight") for name in t)
    for number in range(blocks):
        block, before = f"_blocks.{number}", x
        if number > 0:
            x = F.relu6(norm(conv_same(x, t[f"{block}._expand_conv.weight"], 1), f"{block}._bn0"))
        stride = 2 if number in strided else 1
        depthwise = t[f"{block}._depthwise_conv.weight"]
        x = F.relu6(norm(conv_same(x, depthwise, stride, groups=len(depthwise)), f"{block}._bn1"))
        x = norm(conv_same(x, t[f"{block}._project_conv.weight"], 1), f"{block}._bn2")
        if x.shape == before.shape:
            x = x + before
    return F.relu6(norm(conv_same(x, t["_conv_head.weight"], 1), "_bn1")).mean(dim=(2, 3))


FILES = {  # as published: torch's own names end in the first digits of the sha256; the blocks with a stride
    LITE0: ("efficientnet-lite0-57934424.pth", (1, 3, 5, 11)),
    LITE2: ("efficientnet-lite2-9656183e.pth", (1, 4, 7, 15)),
}


@pytest.fixture
def published() -> Callable[[str], Path]:
    def of(model: str) -> Path:
        file = packaged_file(model)
        if file is None:
            assert model == LITE2, "the package of the default backbone is always there"
            pytest.skip("the extra lite2 is not installed")
        return file

    return of


@pytest.mark.parametrize("model", [LITE0, LITE2])
def test_a_packages_weights_are_the_published_file(model: str, published: Callable[[str], Path]) -> None:
    file = published(model)
    assert file.name == FILES[model][0]
    assert hashlib.sha256(file.read_bytes()).hexdigest()[:8] == file.stem[-8:]


@pytest.mark.parametrize(("model", "size"), [(LITE0, 96), (LITE0, 161), (LITE0, 224), (LITE2, 96), (LITE2, 260)])
def test_lite_gives_the_features_of_the_original_network(
    model: str, size: int, published: Callable[[str], Path]
) -> None:
    file = published(model)
    backbone = Backbone(model, PHOTO, size=size).eval()
    pixels = torch.rand(2, 3, size, size)
    with torch.no_grad():
        ours, original = backbone(pixels), original_lite((pixels - 0.5) / 0.5, file, FILES[model][1])
    assert ours.shape == (2, backbone.features) == (2, 1280)
    assert float(original.std(dim=1).min()) > 0.01  # features, not one number over and over
    assert torch.allclose(ours, original, atol=1e-4)


@pytest.mark.parametrize("name", [SMALL, "test_vit", "test_convnext", "test_efficientnet"])
def test_convolutions_and_transformers_give_vectors_of_their_length_for_any_image(name: str) -> None:
    for shape in (ImageShape(8, 8, 1), ImageShape(13, 20, 3), ImageShape(200, 170, 3)):
        backbone = Backbone(name, shape, weights="none").eval()
        vectors = backbone(torch.rand(2, shape.channels, shape.height, shape.width))
        assert vectors.shape == (2, backbone.features)
        assert bool(vectors.isfinite().all())


def test_gradients_reach_the_first_layer_unless_frozen() -> None:
    backbone = Backbone(SMALL, TINY, weights="none").train()
    assert backbone.model.training
    pixels = torch.rand(4, 1, 28, 28, requires_grad=True)
    backbone(pixels).square().sum().backward()
    first = next(backbone.parameters())
    assert first.grad is not None
    assert float(first.grad.abs().sum()) > 0
    assert pixels.grad is not None
    assert float(pixels.grad.abs().sum()) > 0
    backbone.requires_grad_(False)
    assert not backbone(torch.rand(4, 1, 28, 28)).requires_grad


def test_random_weights_depend_on_the_seed_alone() -> None:
    first, again, other = (_seeded(seed).state_dict()["model.conv1.0.weight"] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def _seeded(seed: int) -> Backbone:
    torch.manual_seed(seed)
    return Backbone(SMALL, TINY, weights="none")


def test_a_grey_image_is_shown_as_a_colour_image_of_three_equal_channels() -> None:
    grey = torch.rand(2, 1, 28, 28)
    ours = Backbone(LITE0, TINY).prepare(grey)
    colour = Backbone(LITE0, ImageShape(28, 28, 3)).prepare(grey.expand(-1, 3, -1, -1))
    assert torch.equal(ours, colour)


@pytest.mark.parametrize(
    ("name", "shape", "size", "expected"),
    [
        (LITE0, TINY, None, 96),
        (LITE0, ImageShape(64, 64, 3), None, 96),
        (LITE0, ImageShape(65, 64, 3), None, 224),
        (LITE0, TINY, 128, 128),
        (LITE2, PHOTO, None, 260),
        ("test_vit", TINY, None, 160),  # has a position embedding for each place
        ("test_vit", TINY, 96, 96),
    ],
)
def test_small_images_go_to_96_pixels_where_a_model_takes_any_size(
    name: str, shape: ImageShape, size: int | None, expected: int
) -> None:
    assert Backbone(name, shape, weights="none", size=size).input_size == (expected, expected)


def test_pixels_are_standardised_by_the_models_own_mean_and_spread() -> None:
    backbone = Backbone("vit_tiny_patch16_224", PHOTO, weights="none")
    white = backbone.prepare(torch.ones(1, 3, 224, 224))
    config = timm.get_pretrained_cfg("vit_tiny_patch16_224")
    assert config is not None
    for channel, (mean, std) in enumerate(zip(config.mean, config.std, strict=True)):
        assert float(white[0, channel].mean()) == pytest.approx((1 - mean) / std, rel=1e-5)


def test_an_unknown_model_is_told_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="timm has no model 'resnet5O'; did you mean 'resnet50'"):
        Backbone("resnet5O", PHOTO)
    with pytest.raises(UsageError, match=r"no weights 'resnet50\.a1_in1kk'; did you mean 'resnet50\.a1_in1k'"):
        Backbone("resnet50.a1_in1kk", PHOTO)


def test_a_size_that_the_model_cannot_take_is_a_users_error() -> None:
    with pytest.raises(UsageError, match="test_vit does not take images of 7x7 pixels"):
        Backbone("test_vit", PHOTO, weights="none", size=7)
