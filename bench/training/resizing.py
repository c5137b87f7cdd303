"""Images of any size to a network's input size, on tensors: timm's own evaluation transform, without Pillow."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional as F

Size = tuple[int, int]  # height, width


def fit_to_input(pixels: Tensor, size: Size, *, mode: str, crop: float, squash: bool = False) -> Tensor:
    """Return float ``(n, c, h, w)`` in [0, 1] as ``(n, c, *size)``, resized with antialiasing and cut to its centre.

    mode: "bilinear" or "bicubic". crop: the share of each side that the network was shown in its own evaluation: images
    larger than the input are resized to ``size / crop``, then cut; so are its makers' photographs. Images no larger
    keep their borders, and only what stands out beyond the input's proportions is cut, or with ``squash`` nothing, for
    then the proportions change. Images whose shorter side fits already are not resampled.
    """
    height, width = (int(side) for side in pixels.shape[2:])  # plain numbers: tracing engines see tensors here
    if (height, width) == size:
        return pixels
    larger = height > size[0] and width > size[1]
    target = (math.floor(size[0] / crop), math.floor(size[1] / crop)) if larger else size
    target = target if squash else _covering((height, width), target)
    if target != (height, width):
        pixels = F.interpolate(pixels, target, mode=mode, antialias=True, align_corners=False)
        pixels = pixels.clamp(0.0, 1.0)  # bicubic curves overshoot; bytes, which the networks were trained on, cannot
    top, left = round((target[0] - size[0]) / 2), round((target[1] - size[1]) / 2)
    return pixels[:, :, top : top + size[0], left : left + size[1]]


def _covering(image: Size, size: Size) -> Size:
    """Return the smallest size of the image's proportions that covers ``size``, rounded down as torchvision does."""
    (height, width), (least_height, least_width) = image, size
    if least_height * width >= least_width * height:
        return least_height, max(least_width, least_height * width // height)
    return max(least_height, least_width * height // width), least_width
