"""Images to a network's input size, as torchvision, Pillow and timm bring them there."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data.transforms_factory import create_transform
from torchvision.transforms import InterpolationMode, v2

from bench.training.encoders.timm import fit_to_input


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("shape", [(300, 300), (280, 413), (500, 333), (1000, 241)])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_larger_images_are_resized_and_cropped_as_torchvision_does(shape: tuple[int, int], mode: str) -> None:
    pixels = torch.rand(1, 3, *shape)
    theirs = v2.Compose([v2.Resize(256, interpolation=InterpolationMode(mode), antialias=True), v2.CenterCrop(224)])(
        pixels
    ).clamp(0, 1)
    ours = fit_to_input(pixels, (224, 224), mode=mode, crop=0.875)
    assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet50", "vgg16", "convnext_tiny.in12k_ft_in1k_384"])
def test_larger_photographs_are_shown_as_timms_own_evaluation_shows_them(name: str) -> None:
    config = timm.get_pretrained_cfg(name)
    assert config is not None
    rough = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    photo = Image.fromarray(rough).resize((640, 481), Image.Resampling.BICUBIC)
    timms = create_transform(
        input_size=config.input_size,
        interpolation=config.interpolation,
        mean=(0, 0, 0),
        std=(1, 1, 1),
        crop_pct=config.crop_pct,
        crop_mode=config.crop_mode,
    )(photo)
    ours = fit_to_input(
        torch.from_numpy(np.array(photo)).permute(2, 0, 1)[None] / 255,
        config.input_size[1:],
        mode=config.interpolation,
        crop=config.crop_pct,
        squash=config.crop_mode == "squash",
    )[0]
    assert ours.shape == timms.shape
    assert float((ours - timms).abs().max()) < 2 / 255  # Pillow rounds to bytes, once a direction


def test_an_image_of_the_right_size_is_not_resampled_and_a_longer_one_only_cut() -> None:
    right, longer = torch.rand(2, 3, 224, 224), torch.rand(2, 3, 224, 300)
    assert fit_to_input(right, (224, 224), mode="bicubic", crop=0.875) is right
    cut = fit_to_input(longer, (224, 224), mode="bicubic", crop=0.875)
    assert torch.equal(cut, longer[:, :, :, 38:262])


def test_small_images_are_enlarged_with_their_borders_and_without_overshoot() -> None:
    frame = torch.ones(1, 1, 28, 28)
    frame[:, :, 1:-1, 1:-1] = 0.0  # white at the very border only
    fitted = fit_to_input(frame, (96, 96), mode="bicubic", crop=0.875)
    assert float(fitted[:, :, 0].min()) > 0.9
    assert float(fitted[:, :, 48, 48]) == 0.0
    assert 0 <= float(fitted.min()) <= float(fitted.max()) <= 1
