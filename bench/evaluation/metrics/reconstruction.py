"""Structural similarity of two images, for batches of tensors."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from bench.contract import DataError, Decodes, Images, Method, MethodError, Progress
from bench.evaluation.inference.embed import batches, decode_batch, embed_pixels, name_of, to_floats
from bench.evaluation.ranking.arrays import Floats, Ints, Vectors
from bench.evaluation.ranking.vectors import normalize_rows

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


_SMALLEST_MSE = 1e-10  # a perfect image would have an infinite ratio, and one infinity eats every mean: 100 dB at most


def score_decoding(
    method: Method,
    decoder: Decodes,
    images: Images,
    vectors: Vectors,
    *,
    device: torch.device,
    batch_size: int = 256,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Floats]:
    """Return how well vectors survive decoding and embedding again, float64 ``(n,)`` each.

    images: n images x; vectors: float32 ``(n, d)``, their unit vectors e(x) as ``embed_images`` returns them.
    decode_cosine: cos(e(x), e(d(e(x)))); the decoded floats are embedded as they are. decode_cosine_shuffled: the same
    decoded images, each paired with another query's vector (seeded; NaN for a single image): a collapsed encoder scores
    1.0 on both. pixel_mse: mean squared difference of d(e(x)) and x over pixels and channels, in [0, 1].
    psnr: -10 log10(pixel_mse) dB, at most 100. ssim: see ``ssim``.

    Raises MethodError where the decoded images have another shape than the images, or break ``decode_batch``'s rules.
    """
    n = len(images)
    if n != len(vectors) or n == 0:
        raise DataError(f"decoding needs one vector an image, got {len(vectors)} for {n}")
    mse, similarity = np.empty(n), np.empty(n)
    again = np.empty(vectors.shape, dtype=np.float32)
    for rows in batches(n, batch_size, progress, "decode"):
        pixels = to_floats(images.take(rows), device)
        decoded = _decode_like(decoder, torch.from_numpy(vectors[rows].copy()).to(device), pixels)
        mse[rows] = (decoded - pixels).square().mean(dim=(1, 2, 3)).cpu().numpy()
        similarity[rows] = ssim(decoded, pixels).cpu().numpy()
        again[rows] = _embed_again(method, decoded, vectors.shape[1])
    again = normalize_rows(again, f"{name_of(method)}.embed of decoded images", MethodError)
    return {
        "decode_cosine": _cosine(vectors, again),
        "decode_cosine_shuffled": _cosine(vectors, again[derangement(n, seed)]) if n > 1 else np.full(n, np.nan),
        "pixel_mse": mse,
        "psnr": peak_signal_to_noise(mse),
        "ssim": similarity,
    }


def peak_signal_to_noise(mse: Floats) -> Floats:
    """Return -10 log10(mse) dB for pixels in [0, 1], float64 ``(n,)``; 100 where the images are the same."""
    ratio: Floats = -10.0 * np.log10(np.maximum(mse, _SMALLEST_MSE))
    return ratio


def derangement(n: int, seed: int) -> Ints:
    """Return a seeded permutation of n >= 2 things that leaves none in its place: one cycle in random order."""
    if n < 2:
        raise DataError(f"nothing to swap among {n}")
    cycle = np.random.default_rng((seed, 4)).permutation(n)
    target = np.empty(n, dtype=np.int64)
    target[cycle] = np.roll(cycle, 1)
    return target


def _decode_like(decoder: Decodes, vectors: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
    decoded = decode_batch(decoder, vectors)
    if decoded.shape != pixels.shape:
        raise MethodError(
            f"{name_of(decoder)}.decode must return images of shape {tuple(pixels.shape[1:])}, got "
            f"{tuple(decoded.shape[1:])}"
        )
    return decoded


def _embed_again(method: Method, decoded: torch.Tensor, dimension: int) -> Vectors:
    embedded = embed_pixels(method, decoded)
    if embedded.shape[1] != dimension:
        raise MethodError(
            f"{name_of(method)}.embed returned {embedded.shape[1]} dimensions for decoded images, {dimension} before"
        )
    again: Vectors = embedded.cpu().numpy()
    return again


def _cosine(first: Vectors, second: Vectors) -> Floats:
    """Return the inner product of each pair of unit rows, float64 ``(n,)``."""
    products: Floats = np.einsum("ij,ij->i", first, second).astype(np.float64)
    return products
