"""Structural similarity of two images, for batches of tensors."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from bench.contract import DataError

_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2  # (K1 L)^2 and (K2 L)^2 for a data range L of 1


def ssim(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return the mean SSIM of each pair of images, float32 ``(n,)``.

    first, second: floating ``(n, channels, height, width)`` in [0, 1], computed in float64. With Gaussian-weighted
    means m, variances v and covariance c of each window (11 x 11, sigma 1.5, weights summing to 1, no sample
    correction):
    (2 m1 m2 + C1)(2 c + C2) / ((m1^2 + m2^2 + C1)(v1 + v2 + C2)), averaged over all windows that lie inside the image
    and over channels. An image smaller than 11 shrinks the window to the largest odd size that fits. Raises DataError
    if the shapes differ. Source: Wang, Bovik, Sheikh and Simoncelli, IEEE TIP 13(4), 2004.
    """
    if first.shape != second.shape or first.ndim != 4:
        raise DataError(f"SSIM compares images of one shape, got {tuple(first.shape)} and {tuple(second.shape)}")
    smallest = min(first.shape[2:])
    kernel = _gaussian(min(_WINDOW, smallest - 1 + smallest % 2), first.device)
    x, y = first.to(kernel.dtype), second.to(kernel.dtype)
    mean_x, mean_y = _blur(x, kernel), _blur(y, kernel)
    var_x, var_y = _blur(x * x, kernel) - mean_x**2, _blur(y * y, kernel) - mean_y**2
    covariance = _blur(x * y, kernel) - mean_x * mean_y
    likeness = (2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)
    largest = (mean_x**2 + mean_y**2 + _C1) * (var_x + var_y + _C2)
    return (likeness / largest).mean(dim=(1, 2, 3)).float()


def _gaussian(size: int, device: torch.device) -> torch.Tensor:
    """Return Gaussian weights ``(size,)`` that sum to 1."""
    # the variances are differences of near-equal numbers: float64, except where the device has none (Apple's)
    dtype = torch.float32 if device.type == "mps" else torch.float64
    offset = torch.arange(size, dtype=dtype, device=device) - (size - 1) / 2
    weights = torch.exp(-(offset**2) / (2 * _SIGMA**2))
    return weights / weights.sum()


def _blur(images: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Return the weighted mean of every window inside the image: one pass down, one across, channels apart."""
    n, channels, height, width = images.shape
    planes = images.reshape(n * channels, 1, height, width)
    down = F.conv2d(planes, kernel.view(1, 1, -1, 1))
    across = F.conv2d(down, kernel.view(1, 1, 1, -1))
    return across.view(n, channels, *across.shape[2:])
