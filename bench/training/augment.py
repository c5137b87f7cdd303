"""Augmentation of whole batches: on their bytes, before they become floats and travel to the device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Augment = Literal["none", "light", "trivial", "rand"]

_GROUP = 8  # images that share one random operation: a call on a whole batch would give all of it the same one
_SHIFT = 16  # a shift goes up to 1/16 of the side: 2 pixels of 32, 14 of 224
# Smaller images come centred, as MNIST and its kin do: there a shift was seen to cost, see docs/reference/methods.md.
_SMALLEST_SHIFTED = 32


@dataclass(frozen=True)
class Augmentation:
    """What a batch's images go through in training.

    name: ``none``; ``light``, where ``mirror`` a mirrored image half of the time, and from 32 pixels on a shift of up
    to 1/16 of the side (the edge reflected); ``trivial`` and ``rand``, the same and then TrivialAugmentWide (Mueller
    & Hutter 2021) or RandAugment (Cubuk et al. 2020) of torchvision, one draw for each eight images. mirror: whether
    a mirrored image shows the same class.
    """

    name: Augment
    mirror: bool

    def __call__(self, pixels: Tensor, rng: np.random.Generator) -> Tensor:
        """Return uint8 ``(n, height, width, channels)`` augmented; the same draws for the same generator state."""
        if self.name == "none":
            return pixels
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


def _moved(side: int, shifts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where each place of a shifted side comes from, int64 ``(n, side)``, reflected at the edges."""
    place: NDArray[np.int64] = np.abs(np.arange(side, dtype=np.int64) + shifts[:, None])
    beyond = place >= side
    place[beyond] = 2 * (side - 1) - place[beyond]
    return place
