"""Augmentation: repeatable, class-preserving where it should be, and different from image to image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bench.training.augment import Augmentation, shift_and_mirror


def photographs(n: int, height: int, width: int, channels: int = 3) -> Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(0, 256, (n, height, width, channels), dtype=np.uint8))


@pytest.mark.parametrize("name", ["none", "light", "trivial", "rand"])
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
    moved = shift_and_mirror(pixels, np.random.default_rng(seed), mirror=mirror)
    down, right = (side // 16 if min(height, width) >= 32 else 0 for side in (height, width))
    for image, result in zip(pixels[..., 0], moved[..., 0], strict=True):
        padded = np.pad(image.numpy(), ((down, down), (right, right)), mode="reflect")
        windows = [padded[y : y + height, x : x + width] for y in range(2 * down + 1) for x in range(2 * right + 1)]
        windows += [window[:, ::-1] for window in windows] if mirror else []
        assert any(np.array_equal(window, result.numpy()) for window in windows)


def test_images_of_one_batch_get_different_draws() -> None:
    one = photographs(1, 32, 32)
    for name in ("light", "trivial", "rand"):
        moved = Augmentation(name, mirror=True)(one.repeat(64, 1, 1, 1), np.random.default_rng(0))
        assert len({image.numpy().tobytes() for image in moved}) > 8
