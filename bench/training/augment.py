"""Augmentation of whole batches: drawn on the processor, done on their bytes, there or where they lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Augment = Literal["none", "light", "crop", "trivial", "rand"]
Draws: TypeAlias = NDArray[np.int64]

_DRAWN: dict[Augment, int] = {"none": 0, "light": 3, "crop": 5, "trivial": 4, "rand": 4}  # numbers an image
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
        n, height, width, _ = pixels.shape
        return self.applied(pixels, self.draw(n, height, width, rng))

    @property
    def gathers(self) -> bool:
        """Whether it is done wherever the pixels lie; torchvision's policies are done on the processor only."""
        return self.name in ("none", "light", "crop")

    def draw(self, n: int, height: int, width: int, rng: np.random.Generator) -> Draws:
        """Return what is drawn for n images, int64 ``(k, n)``: the only chance there is, on every device the same.

        By row: nothing for ``none``; for ``crop`` the box (top, left, height, width) and whether mirrored; else the
        shifts down and to the right, whether mirrored, and for a policy the seed of torchvision's draws.
        """
        drawn = np.zeros((_DRAWN[self.name], n), np.int64)
        if self.name == "none":
            return drawn
        if self.name == "crop":
            drawn[:4] = np.transpose([random_box(height, width, rng) for _ in range(n)])
        else:
            shifted = min(height, width) >= _SMALLEST_SHIFTED
            for row, side in enumerate((height, width)):
                far = side // _SHIFT if shifted else 0
                drawn[row] = rng.integers(-far, far + 1, n)
        if self.mirror:
            drawn[4 if self.name == "crop" else 2] = rng.random(n) < 0.5
        if not self.gathers:
            drawn[3] = rng.integers(2**62)
        return drawn

    def applied(self, pixels: Tensor, draws: Draws) -> Tensor:
        """Return uint8 ``(n, height, width, channels)`` on the processor, augmented as was drawn."""
        if self.name == "none":
            return pixels
        if self.name == "crop":
            return crop_and_mirror(pixels, draws)
        moved = shift_and_mirror(pixels, draws)
        return moved if self.name == "light" else self._by_policy(moved, int(draws[-1, 0]))

    def prepared(self, draws: Tensor, height: int, width: int) -> tuple[Tensor, ...]:
        """Return draws of many images as ``gathered`` takes them, on their device, each tensor ``(n, ...)``.

        Worked out for many batches at once, that a step waits for few kernels.
        """
        if self.name == "light":
            return places(height, draws[0]), places(width, draws[1], draws[2])
        return (draws.T,) if self.name == "crop" else ()

    def gathered(self, pixels: Tensor, rows: Tensor, *prepared: Tensor) -> Tensor:
        """Return rows of uint8 ``(N, h, w, c)``, on any device, as was drawn: uint8 ``(n, h, w, c)``, for ``gathers``.

        The very bytes of ``applied``; of ``crop`` within 1 of them where a device rounds products otherwise. rows:
        int64 ``(n,)``. The device's values are not looked at, so nothing waits for them.
        """
        if self.name == "none":
            return pixels.index_select(0, rows)
        if self.name == "light":
            down, right = prepared
            return pixels[rows[:, None, None], down[:, :, None], right[:, None, :]]
        return resampled(pixels.index_select(0, rows), prepared[0])

    def _by_policy(self, pixels: Tensor, seed: int) -> Tensor:
        from torchvision.transforms import v2  # noqa: PLC0415 - takes a second to import, and few trainings need it

        # torchvision draws from torch's global generator, which belongs to the training, as those of cards do.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            policy = v2.TrivialAugmentWide() if self.name == "trivial" else v2.RandAugment()
            groups = torch.split(pixels.permute(0, 3, 1, 2), _GROUP)
            return torch.cat([policy(group) for group in groups]).permute(0, 2, 3, 1)


UNCHANGED = Augmentation("none", mirror=False)


def shift_and_mirror(pixels: Tensor, draws: Draws) -> Tensor:
    """Return uint8 ``(n, h, w, c)``, each image shifted and mirrored as was drawn: one gather.

    By NumPy, whose small operations take a tenth of the time that torch's take on a processor.
    """
    n, height, width, _ = pixels.shape
    rows, columns = _moved(height, draws[0]), _moved(width, draws[1])
    chosen = draws[2] > 0
    columns[chosen] = columns[chosen, ::-1]
    return torch.from_numpy(pixels.numpy()[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]])


def _moved(side: int, shifts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where each place of a shifted side comes from, int64 ``(n, side)``, reflected at the edges."""
    place: NDArray[np.int64] = np.abs(np.arange(side, dtype=np.int64) + shifts[:, None])
    beyond = place >= side
    place[beyond] = 2 * (side - 1) - place[beyond]
    return place


def places(side: int, shifts: Tensor, mirrored: Tensor | None = None) -> Tensor:
    """Return where each place of a shifted side comes from, reflected at the edges, int64 ``(n, side)``: on any device.

    shifts, mirrored: int64 ``(n,)``, the second 1 where the side is turned.
    """
    own = torch.arange(side, device=shifts.device)
    if mirrored is not None:
        own = torch.where(mirrored[:, None] > 0, side - 1 - own, own)
    place = (own + shifts[:, None]).abs_()
    return torch.where(place < side, place, 2 * (side - 1) - place)


def crop_and_mirror(pixels: Tensor, draws: Draws) -> Tensor:
    """Return uint8 ``(n, h, w, c)``: of each image the box drawn at the image's size, mirrored where that was drawn.

    Resized bilinearly with antialiasing.
    """
    from torchvision.transforms.v2.functional import resized_crop  # noqa: PLC0415 - as above

    _, height, width, _ = pixels.shape
    images, boxes = pixels.permute(0, 3, 1, 2), draws[:4].T.tolist()
    cut = torch.stack([resized_crop(image, *box, [height, width]) for image, box in zip(images, boxes, strict=True)])
    chosen = torch.from_numpy(draws[4] > 0)
    cut[chosen] = cut[chosen].flip(-1)
    return cut.permute(0, 2, 3, 1)


def resampled(pixels: Tensor, draws: Tensor) -> Tensor:
    """Return what ``crop_and_mirror`` does, for all images at once on their device.

    pixels: uint8 ``(n, h, w, c)``; draws: int64 ``(n, 5)``. A box's rows and columns are weighed by two small matrices
    an image, and rounded to bytes after the columns as well, as torch does where it resizes bytes on a processor: all
    sums are whole numbers below 2**24, and exact unless products are TF32, which brings them within 1 of that.
    """
    n, height, width, channels = pixels.shape
    top, left, high, wide, mirrored = draws.T
    across, along = box_weights(width, left, wide, mirrored), box_weights(height, top, high)
    flat = pixels.permute(0, 3, 1, 2).reshape(n, channels * height, width).float()
    columns = torch.bmm(flat, across.mT).add_(0.5).floor_().view(n, channels, height, width)
    both = torch.matmul(along[:, None], columns).add_(0.5).floor_()
    return both.to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def box_weights(side: int, start: Tensor, length: Tensor, mirrored: Tensor | None = None) -> Tensor:
    """Return what each place of a side takes of each of the image, float32 ``(n, side, side)``, rows summing to 1.

    The bilinear filter of PIL and torch's ``antialias=True``: a triangle over the part of the side from ``start``, as
    wide as two places of what is resized, or of the result where that is smaller. Rounded to the 15 bits or so that
    torch gives them where it resizes bytes on a processor, so that sums are exact. start, length, mirrored: ``(n,)``.
    """
    place = torch.arange(side, device=start.device)
    aim = place if mirrored is None else torch.where(mirrored[:, None] > 0, side - 1 - place, place)
    scale = (length.double() / side)[:, None]
    centre = start[:, None] + scale * (aim + 0.5)
    distance = (place + 0.5 - centre[:, :, None]).abs() / scale.clamp_min(1)[:, :, None]
    inside = (place >= start[:, None]) & (place < (start + length)[:, None])
    weights = (1 - distance).clamp_min(0) * inside[:, None]
    weights /= weights.sum(dim=2, keepdim=True)
    bits = torch.log2((2**15 - 0.5) / weights.amax(dim=(1, 2), keepdim=True)).long()
    unit = torch.ones_like(bits) << bits
    return ((weights * unit + 0.5).floor_() / unit).float()


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
