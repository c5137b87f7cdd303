"""Corrupted images: what a query looks like when the camera, the light or the network was not as good as the gallery's.

The idea of corruptions in rising severities is that of Hendrycks & Dietterich, "Benchmarking Neural Network Robustness
to Common Corruptions and Perturbations", ICLR 2019; the levels here are our own. Those that have a length are stated in
shares of the image's shorter side, so that 28 pixels and 224 look alike. JPEG cannot be: its blocks have 8 pixels.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy import ndimage

from bench.contract import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.contract import Ids, Pixels

SEVERITIES = (1, 2, 3)
_GRAINS = 32  # of noise along the shorter side; smaller images have one a pixel
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601: how bright red, green and blue are to the eye


@dataclass(frozen=True)
class Corruption:
    """One kind of damage. levels: one number a severity, of what ``unit`` says; colour: whether grey images have none.

    apply: (pixels uint8 ``(n, height, width, channels)``, level, one generator an image) to pixels of the same shape.
    """

    name: str
    unit: str
    levels: tuple[float, float, float]
    apply: Callable[[Pixels, float, list[np.random.Generator]], Pixels]
    colour: bool = False


def corrupt(pixels: Pixels, ids: Ids, name: str, severity: int, *, seed: int = 0) -> Pixels:
    """Return corrupted copies, uint8 ``(n, height, width, channels)``.

    ids: str ``(n,)``. What is random depends on (seed, corruption, id) alone: on no other image, on no order, and not
    on the severity, which scales the same draw. Raises UsageError for a corruption or severity that is none.
    """
    if name not in CORRUPTIONS or severity not in SEVERITIES:
        known = f"{', '.join(CORRUPTIONS)}, each from {SEVERITIES[0]} to {SEVERITIES[-1]}"
        raise UsageError(f"there is no corruption {name!r} of severity {severity} (there are: {known})")
    one = CORRUPTIONS[name]
    return one.apply(pixels, one.levels[severity - 1], [_generator(seed, name, text) for text in ids.tolist()])


def blur(pixels: Pixels, sigma: float, _: list[np.random.Generator]) -> Pixels:
    """Return images under a Gaussian blur; sigma: share of the shorter side. The edge pixel goes on outside."""
    width = sigma * _side(pixels)
    return _bytes(ndimage.gaussian_filter(pixels.astype(np.float32), (0, width, width, 0), mode="nearest"))


def noise(pixels: Pixels, spread: float, generators: list[np.random.Generator]) -> Pixels:
    """Return images with Gaussian noise; spread: standard deviation, of pixels in [0, 1], before clipping.

    A grain is a 32nd of the shorter side, and a pixel at least: finer noise would vanish in large images.
    """
    _, height, width, channels = pixels.shape
    cells = min(_GRAINS, _side(pixels)) / _side(pixels)  # a pixel
    down, right = ((np.arange(side) * cells).astype(np.int64) for side in (height, width))
    shape = (int(down[-1]) + 1, int(right[-1]) + 1, channels)
    noisy = pixels.astype(np.float32)
    for row, generator in enumerate(generators):
        noisy[row] += 255 * spread * generator.standard_normal(shape, dtype=np.float32)[down[:, None], right]
    return _bytes(noisy)


def jpeg(pixels: Pixels, quality: float, _: list[np.random.Generator]) -> Pixels:
    """Return images written as JPEG and read again; quality: of libjpeg, colour at half the resolution."""
    return np.stack([_through_jpeg(image, int(quality)) for image in pixels])


def rotate(pixels: Pixels, degrees: float, generators: list[np.random.Generator]) -> Pixels:
    """Return images turned about their centre, either way by the image's own draw; the edge pixel goes on outside."""
    ways = np.array([generator.random() < 0.5 for generator in generators], dtype=np.bool_)
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turned = np.empty_like(pixels)
    for chosen, sign in ((ways, 1.0), (~ways, -1.0)):
        turned[chosen] = _resampled(pixels[chosen], np.array([[cosine, -sign * sine], [sign * sine, cosine]]))
    return turned


def crop(pixels: Pixels, share: float, _: list[np.random.Generator]) -> Pixels:
    """Return the middle of images, enlarged to their size; share: of both sides that is left."""
    return _resampled(pixels, np.diag([share, share]))


def grey(pixels: Pixels, share: float, _: list[np.random.Generator]) -> Pixels:
    """Return images with a share of their colour taken out, at the same luma; grey ones stay as they are."""
    if pixels.shape[3] == 1:
        return pixels.copy()
    values = pixels.astype(np.float32)
    luma = values @ np.array(_LUMA, dtype=np.float32)
    return _bytes(values + share * (luma[..., None] - values))


CORRUPTIONS = {
    one.name: one
    for one in (
        Corruption("blur", "sigma, share of the shorter side", (0.015, 0.03, 0.06), blur),
        Corruption("noise", "standard deviation of pixels in [0, 1]", (0.05, 0.1, 0.2), noise),
        Corruption("jpeg", "libjpeg's quality", (25.0, 15.0, 7.0), jpeg),
        Corruption("rotate", "degrees either way", (10.0, 20.0, 40.0), rotate),
        Corruption("crop", "share of both sides that is left", (0.85, 0.7, 0.5), crop),
        Corruption("grey", "share of the colour taken out", (1 / 3, 2 / 3, 1.0), grey, colour=True),
    )
}


def _resampled(pixels: Pixels, matrix: NDArray[np.float64]) -> Pixels:
    """Return images whose pixel at p from the centre is the one at ``matrix @ p``, between four neighbours.

    Outside, the edge pixel goes on.
    """
    _, height, width, _ = pixels.shape
    centre = np.array([height - 1, width - 1]) / 2
    places = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), axis=-1) - centre
    at = np.clip(places @ matrix.T + centre, 0, [height - 1, width - 1])
    first = np.floor(at).astype(np.int64)
    last = np.minimum(first + 1, [height - 1, width - 1])
    down, right = np.moveaxis((at - first).astype(np.float32)[..., None], 2, 0)
    above, below = (
        (1 - right) * pixels[:, rows, first[..., 1]] + right * pixels[:, rows, last[..., 1]]
        for rows in (first[..., 0], last[..., 0])
    )
    return _bytes((1 - down) * above + down * below)


def _through_jpeg(image: Pixels, quality: int) -> Pixels:
    file = io.BytesIO()
    single = image.shape[2] == 1
    Image.fromarray(image[..., 0] if single else image).save(file, "JPEG", quality=quality)
    found = np.asarray(Image.open(file))
    return found[..., None] if single else found


def _generator(seed: int, name: str, text: str) -> np.random.Generator:
    digest = hashlib.sha256(f"{name}/{text}".encode("utf-8", "surrogatepass")).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "little")])


def _side(pixels: Pixels) -> int:
    return int(min(pixels.shape[1:3]))


def _bytes(values: NDArray[np.float32]) -> Pixels:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)
