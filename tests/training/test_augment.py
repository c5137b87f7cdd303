"""Augmentation: repeatable, class-preserving where it should be, and different from image to image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bench.training.augment import Augmentation, random_box


def photographs(n: int, height: int, width: int, channels: int = 3) -> Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(0, 256, (n, height, width, channels), dtype=np.uint8))


@pytest.mark.parametrize("name", ["none", "light", "crop", "trivial", "rand"])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_augmented_batch_keeps_shape_and_type_and_repeats_with_its_generator(name: str, channels: int) -> None:
    pixels = photographs(20, 32, 24, channels)
    augmentation = Augmentation(name, mirror=True)  # type: ignore[arg-type]  # a parametrised literal
    first, again, other = (augmentation(pixels.clone(), np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert first.shape == pixels.shape
    assert first.dtype == torch.uint8
    assert torch.equal(first, again)
    assert torch.equal(first, other) == (name == "none")


@pytest.mark.parametrize("name", ["trivial", "rand"])
def test_a_policy_leaves_the_generator_of_the_training_alone(name: str) -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    Augmentation(name, mirror=True)(photographs(9, 16, 16), np.random.default_rng(0))  # type: ignore[arg-type]  # above
    assert torch.equal(torch.rand(4), expected)


@given(st.integers(1, 70), st.integers(1, 70), st.booleans(), st.integers(0, 99))
def test_light_augmentation_is_a_small_shift_and_maybe_a_mirror(
    height: int, width: int, mirror: bool, seed: int
) -> None:
    pixels = photographs(3, height, width, 1)
    moved = Augmentation("light", mirror)(pixels, np.random.default_rng(seed))
    down, right = (side // 16 if min(height, width) >= 32 else 0 for side in (height, width))
    for image, result in zip(pixels[..., 0], moved[..., 0], strict=True):
        padded = np.pad(image.numpy(), ((down, down), (right, right)), mode="reflect")
        windows = [padded[y : y + height, x : x + width] for y in range(2 * down + 1) for x in range(2 * right + 1)]
        windows += [window[:, ::-1] for window in windows] if mirror else []
        assert any(np.array_equal(window, result.numpy()) for window in windows)


def test_images_of_one_batch_get_different_draws() -> None:
    one = photographs(1, 32, 32)
    for name in ("light", "crop", "trivial", "rand"):
        moved = Augmentation(name, mirror=True)(one.repeat(64, 1, 1, 1), np.random.default_rng(0))
        assert len({image.numpy().tobytes() for image in moved}) > 8


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 999))
def test_a_random_box_lies_in_the_image_with_its_area_and_ratio(height: int, width: int, seed: int) -> None:
    top, left, high, wide = random_box(height, width, np.random.default_rng(seed))
    assert 0 <= top <= top + high <= height
    assert 0 <= left <= left + wide <= width
    assert min(high, wide) >= 1
    if 3 / 4 <= width / height <= 4 / 3:  # the first draw that fits; rounding moves each side by half a pixel
        assert (high + 0.5) * (wide + 0.5) >= 0.2 * height * width
    assert (wide + 0.5) / max(high - 0.5, 0.5) >= 3 / 4
    assert max(wide - 0.5, 0.5) / (high + 0.5) <= 4 / 3


def test_areas_of_random_boxes_are_spread_from_a_fifth_to_all() -> None:
    rng = np.random.default_rng(0)
    boxes = np.array([random_box(224, 224, rng) for _ in range(2000)])
    areas = boxes[:, 2] * boxes[:, 3] / 224**2
    assert 0.19 < areas.min() < 0.21
    assert areas.max() > 0.95
    assert abs(np.log(boxes[:, 3] / boxes[:, 2]).mean()) < 0.02  # neither wide nor high on the whole


def test_a_crop_shows_its_box_at_the_size_of_the_image_mirrored_half_of_the_time() -> None:
    column = torch.arange(0, 256, 4, dtype=torch.uint8)  # brighter to the right, and to the bottom in another channel
    one = torch.stack([column.expand(64, 64), column[:, None].expand(64, 64)], dim=-1)[None].repeat(200, 1, 1, 1)
    seen = Augmentation("crop", mirror=True)(one, np.random.default_rng(4)).float()
    plain = Augmentation("crop", mirror=False)(one, np.random.default_rng(4)).float()
    rng = np.random.default_rng(4)
    for image, (top, left, high, wide) in zip(plain, (random_box(64, 64, rng) for _ in range(200)), strict=True):
        assert image[..., 0].mean().item() == pytest.approx(4 * (left + (wide - 1) / 2), abs=3)
        assert image[..., 1].mean().item() == pytest.approx(4 * (top + (high - 1) / 2), abs=3)
    turned = (seen[:, :, -1, 0] < seen[:, :, 0, 0]).all(dim=1)
    assert 0.35 < turned.float().mean().item() < 0.65
    assert torch.equal(seen[turned], plain[turned].flip(2))
    assert torch.equal(seen[~turned], plain[~turned])
