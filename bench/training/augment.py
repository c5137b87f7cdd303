"""Augmentation of whole batches: on their bytes, before they become floats and travel to the device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Augment = Literal["none", "light", "crop", "trivial", "rand"]

_GROUP = 8  # images that share one random operation: a call on a whole batch would give all of it the same one
_SHIFT = 16  # a shift goes up to 1/16 of the side: 2 pixels of 32, 14 of 224
# Smaller images come centred, as MNIST and its kin do: there a shift was seen to cost, see docs/reference/methods.md.
_SMALLEST_SHIFTED = 32
_AREA = (0.2, 1.0)  # of a random crop, as a share of the image's; with _RATIO as in metric-learning papers
_RATIO = (3 / 4, 4 / 3)  # width over height
_TRIES = 10  # of a box that fits, then the largest in the middle


@dataclass(frozen=True)
class Augmentation:
    """What a batch's images go through in training.

    name: ``none``; ``light``, where ``mirror`` a mirrored image half of the time, and from 32 pixels on a shift of up
    to 1/16 of the side (the edge reflected); ``crop``, a random resized crop (Szegedy et al. 2015: a fifth of the
    area or more, sides 3:4 to 4:3, brought back to the image's size) and the same mirror, with no shift; ``trivial``
    and ``rand``, the same as ``light`` and then TrivialAugmentWide (Mueller & Hutter 2021) or RandAugment (Cubuk et al.
    2020) of torchvision, one draw for each eight images. mirror: whether a mirrored image shows the same class.
    """

    name: Augment
    mirror: bool

    def __call__(self, pixels: Tensor, rng: np.random.Generator) -> Tensor:
        """Return uint8 ``(n, height, width, channels)`` augmented; the same draws for the same generator state."""
        if self.name == "none":
            return pixels
        if self.name == "crop":
            return crop_and_mirror(pixels, rng, mirror=self.mirror)
        moved = shift_and_mirror(pixels, rng, mirror=self.mirror)
        if self.name == "light":
            return moved
        from torchvision.transforms import v2  # noqa: PLC0415 - takes a second to import, and few trainings need it

        # torchvision draws from torch's global generator, which belongs to the training.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**62)))
            policy = v2.TrivialAugmentWide() if self.name == "trivial" else v2.RandAugment()
            groups = torch.split(moved.permute(0, 3, 1, 2), _GROUP)
            return torch.cat([policy(group) for group in groups]).permute(0, 2, 3, 1)


UNCHANGED = Augmentation("none", mirror=False)


def shift_and_mirror(pixels: Tensor, rng: np.random.Generator, *, mirror: bool) -> Tensor:
    """Return uint8 ``(n, h, w, c)`` with each image shifted by its own draw and, at even odds, mirrored; one gather."""
    n, height, width, _ = pixels.shape
    shifted = min(height, width) >= _SMALLEST_SHIFTED
    down, right = (side // _SHIFT if shifted else 0 for side in (height, width))
    rows = _moved(height, rng.integers(-down, down + 1, n))
    columns = _moved(width, rng.integers(-right, right + 1, n))
    if mirror:
        chosen = rng.random(n) < 0.5
        columns[chosen] = columns[chosen, ::-1]
    moved = pixels.numpy()[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return torch.from_numpy(moved)


def crop_and_mirror(pixels: Tensor, rng: np.random.Generator, *, mirror: bool) -> Tensor:
    """Return uint8 ``(n, h, w, c)``: of each image a box of its own draw at the image's size, at even odds mirrored.

    Resized bilinearly with antialiasing.
    """
    from torchvision.transforms.v2.functional import resized_crop  # noqa: PLC0415 - as above

    n, height, width, _ = pixels.shape
    images = pixels.permute(0, 3, 1, 2)
    boxes = [random_box(height, width, rng) for _ in range(n)]
    cut = torch.stack([resized_crop(image, *box, [height, width]) for image, box in zip(images, boxes, strict=True)])
    if mirror:
        chosen = torch.from_numpy(rng.random(n) < 0.5)
        cut[chosen] = cut[chosen].flip(-1)
    return cut.permute(0, 2, 3, 1)


def random_box(height: int, width: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Return the top, left, height and width of a box in an image, in pixels.

    Its area is uniform and the logarithm of its ratio too, within their limits; where ten draws do not fit, the largest
    box in the middle within the ratio's limits.
    """
    for _ in range(_TRIES):
        area = height * width * rng.uniform(*_AREA)
        ratio = np.exp(rng.uniform(*np.log(_RATIO)))
        high, wide = max(1, round(np.sqrt(area / ratio))), max(1, round(np.sqrt(area * ratio)))
        if high <= height and wide <= width:
            return int(rng.integers(height - high + 1)), int(rng.integers(width - wide + 1)), high, wide
    high, wide = min(height, round(width / _RATIO[0])), min(width, round(height * _RATIO[1]))
    return (height - high) // 2, (width - wide) // 2, high, wide


def _moved(side: int, shifts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where each place of a shifted side comes from, int64 ``(n, side)``, reflected at the edges."""
    place: NDArray[np.int64] = np.abs(np.arange(side, dtype=np.int64) + shifts[:, None])
    beyond = place >= side
    place[beyond] = 2 * (side - 1) - place[beyond]
    return place
