"""Image to vector to image to vector: does the decoded image mean the same, and does it look the same?"""

from __future__ import annotations

import numpy as np
import torch

from bench.contract import DataError, Decodes, Images, Method, MethodError, Progress
from bench.evaluation.arrays import Floats, Ints, Vectors
from bench.evaluation.embedding import batches, decode_batch, embed_pixels, name_of, to_floats
from bench.evaluation.ssim import ssim
from bench.evaluation.vectors import normalize_rows

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
    if len(images) != len(vectors) or len(images) == 0:
        raise DataError(f"decoding needs one vector an image, got {len(vectors)} for {len(images)}")
    mse, similarity = np.empty(len(images)), np.empty(len(images))
    again = np.empty(vectors.shape, dtype=np.float32)
    for rows in batches(len(images), batch_size, progress, "decode"):
        pixels = to_floats(images.take(rows), device)
        decoded = _decode_like(decoder, torch.from_numpy(vectors[rows].copy()).to(device), pixels)
        mse[rows] = (decoded - pixels).square().mean(dim=(1, 2, 3)).cpu().numpy()
        similarity[rows] = ssim(decoded, pixels).cpu().numpy()
        again[rows] = _embed_again(method, decoded, vectors.shape[1])
    again = normalize_rows(again, f"{name_of(method)}.embed of decoded images", MethodError)
    return {
        "decode_cosine": _cosine(vectors, again),
        "decode_cosine_shuffled": _shuffled_cosine(vectors, again, seed),
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


def _shuffled_cosine(vectors: Vectors, again: Vectors, seed: int) -> Floats:
    if len(vectors) < 2:
        return np.full(len(vectors), np.nan)
    return _cosine(vectors, again[derangement(len(vectors), seed)])


def _cosine(first: Vectors, second: Vectors) -> Floats:
    """Return the inner product of each pair of unit rows, float64 ``(n,)``."""
    products: Floats = np.einsum("ij,ij->i", first, second).astype(np.float64)
    return products
