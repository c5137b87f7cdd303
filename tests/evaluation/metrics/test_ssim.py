"""SSIM against scikit-image and, for small images, against plain loops."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from bench.contract import DataError
from bench.evaluation.metrics.reconstruction import ssim


def pictures(n: int, channels: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(height * width + channels)
    first = rng.random((n, channels, height, width))
    second = np.clip(first + 0.2 * rng.standard_normal(first.shape), 0, 1)
    return first, second


def measure(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    found: np.ndarray = ssim(torch.from_numpy(first), torch.from_numpy(second)).numpy()
    return found


@pytest.mark.parametrize(("channels", "height", "width"), [(1, 28, 28), (3, 32, 32), (3, 11, 40), (1, 12, 11)])
def test_images_of_eleven_pixels_and_more_agree_with_scikit_image(channels: int, height: int, width: int) -> None:
    first, second = pictures(4, channels, height, width)
    options = {
        "gaussian_weights": True,
        "sigma": 1.5,
        "use_sample_covariance": False,
        "data_range": 1,
        "channel_axis": 0,
    }
    reference: Callable[..., float] = structural_similarity  # scikit-image gives it no types
    theirs = [reference(x, y, **options) for x, y in zip(first, second, strict=True)]
    np.testing.assert_allclose(measure(first, second), theirs, atol=1e-6)


def plain(x: np.ndarray, y: np.ndarray, size: int) -> float:
    """One channel, one window after another."""
    half = (size - 1) / 2
    weights = [[math.exp(-((i - half) ** 2 + (j - half) ** 2) / 4.5) for j in range(size)] for i in range(size)]
    total = sum(map(sum, weights))
    values = []
    for top in range(x.shape[0] - size + 1):
        for left in range(x.shape[1] - size + 1):
            cells = [
                (weights[i][j] / total, x[top + i, left + j], y[top + i, left + j])
                for i in range(size)
                for j in range(size)
            ]
            mx, my = sum(w * a for w, a, _ in cells), sum(w * b for w, _, b in cells)
            vx, vy = sum(w * (a - mx) ** 2 for w, a, _ in cells), sum(w * (b - my) ** 2 for w, _, b in cells)
            c = sum(w * (a - mx) * (b - my) for w, a, b in cells)
            values.append((2 * mx * my + 1e-4) * (2 * c + 9e-4) / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4)))
    return float(np.mean(values))


@pytest.mark.parametrize(("height", "width", "window"), [(8, 8, 7), (10, 30, 9), (7, 7, 7), (2, 5, 1), (1, 1, 1)])
def test_smaller_images_shrink_the_window_to_the_largest_odd_size(height: int, width: int, window: int) -> None:
    first, second = pictures(2, 1, height, width)
    by_hand = [plain(x[0], y[0], window) for x, y in zip(first, second, strict=True)]
    np.testing.assert_allclose(measure(first, second), by_hand, atol=1e-6)


def test_an_image_is_most_similar_to_itself_and_least_to_its_negative() -> None:
    first, second = pictures(3, 1, 20, 20)
    np.testing.assert_allclose(measure(first, first), 1.0)
    assert (measure(first, 1 - first) < measure(first, second)).all()


def test_images_of_different_shapes_are_refused() -> None:
    with pytest.raises(DataError, match="images of one shape"):
        ssim(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 5))
