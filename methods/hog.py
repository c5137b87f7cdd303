"""Baseline: histograms of oriented gradients (Dalal & Triggs, CVPR 2005); no learning."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from bench import ImageShape, RunContext, Split, method

_CELLS = 7  # along a side of typical length: 4 pixels of a 28x28 image, 32 of a 224x224 photograph
_EPSILON = 1e-5  # in a block's norm, so that an even block stays zero; skimage's value
_CLIP = 0.2  # L2-Hys: no component of a block's unit vector counts for more (section 6.4 of the paper)

_AT_ONCE = 2**19  # numbers, 2 MiB, that stay in a processor's cache: twice as fast as a whole batch of photographs


@method
@dataclass
class HOG:
    """Where edges run, whatever their strength: what hand-made features gave before features were learnt.

    ``cell`` is the side of a cell in pixels (None: a seventh of the image's side), ``block`` the side of a block in
    cells, ``orientations`` the bins of 180 degrees, ``size`` the side that picture files are brought to.
    """

    cell: int | None = None
    orientations: int = 9
    block: int = 2
    size: int | None = None

    uses_labels = False
    baseline = "floor"

    def __post_init__(self) -> None:
        if min(self.orientations, self.block, 1 if self.cell is None else self.cell) < 1:
            raise ValueError("cell, orientations and block must be at least 1")

    def fit(self, train: Split, validation: Split, run: RunContext) -> None:
        """There is nothing to learn."""

    def embed(self, pixels: Tensor) -> Tensor:
        few = max(1, _AT_ONCE // pixels[0].numel())
        return torch.cat([self._describe(part) for part in torch.split(pixels, few)])

    def _describe(self, pixels: Tensor) -> Tensor:
        vertical, horizontal = strongest_gradient(pixels)
        cell = min(self.cell or _cell_side(*pixels.shape[2:]), *pixels.shape[2:])
        histograms = cell_histograms(vertical, horizontal, cell, self.orientations)
        # An even image has no edge at all: a trace of constant keeps its vector from being zero.
        return normalized_blocks(histograms, self.block).flatten(1) + 1e-6

    def state(self) -> Mapping[str, Tensor]:
        return {}

    def restore(self, state: Mapping[str, Tensor], shape: ImageShape, device: torch.device) -> None:
        """The options are all there is."""


def strongest_gradient(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Return (vertical, horizontal) central differences of ``(n, c, h, w)``, each ``(n, h, w)``, zero at the border.

    Of colours, each pixel takes the channel in which its gradient is largest, the first of equals.
    """
    vertical, horizontal = torch.zeros_like(pixels), torch.zeros_like(pixels)
    vertical[:, :, 1:-1] = pixels[:, :, 2:] - pixels[:, :, :-2]
    horizontal[..., 1:-1] = pixels[..., 2:] - pixels[..., :-2]
    if pixels.shape[1] == 1:
        return vertical[:, 0], horizontal[:, 0]
    strongest = (vertical.square() + horizontal.square()).max(dim=1, keepdim=True).indices
    return vertical.gather(1, strongest)[:, 0], horizontal.gather(1, strongest)[:, 0]


def cell_histograms(vertical: Tensor, horizontal: Tensor, cell: int, orientations: int) -> Tensor:
    """Return the mean gradient length by direction in every cell, ``(n, cell rows, cell columns, orientations)``.

    Directions are unsigned, hard bins of 180 degrees from the horizontal on. What does not fill a cell is left off,
    half of it at either edge.
    """
    height, width = vertical.shape[1] // cell * cell, vertical.shape[2] // cell * cell
    top, left = (vertical.shape[1] - height) // 2, (vertical.shape[2] - width) // 2
    vertical = vertical[:, top : top + height, left : left + width]
    horizontal = horizontal[:, top : top + height, left : left + width]
    # Into the upper half plane; a horizontal gradient has the angle 0 whichever way it points, never pi.
    across = torch.where(vertical < 0, -horizontal, horizontal)
    across = torch.where(vertical == 0, across.abs(), across)
    bins = torch.atan2(vertical.abs(), across).mul_(orientations / math.pi).long().clamp_max_(orientations - 1)
    length = torch.hypot(vertical, horizontal)
    # Bin by bin: all bins at once would take nine times the memory of a batch of photographs.
    return torch.stack([F.avg_pool2d(length * (bins == number), cell) for number in range(orientations)], dim=-1)


def normalized_blocks(histograms: Tensor, block: int) -> Tensor:
    """Return overlapping blocks of block x block cells, L2-Hys: unit length, clipped at 0.2, unit length again.

    ``(n, rows, columns, orientations)`` to ``(n, block rows, block columns, block, block, orientations)``; where there
    are fewer cells than a block has, the block is that much smaller.
    """
    high, wide = min(block, histograms.shape[1]), min(block, histograms.shape[2])
    blocks = histograms.unfold(1, high, 1).unfold(2, wide, 1).permute(0, 1, 2, 4, 5, 3)
    clipped = _unit(blocks).clamp_max(_CLIP)
    return _unit(clipped)


def _unit(blocks: Tensor) -> Tensor:
    return blocks / (blocks.square().sum(dim=(3, 4, 5), keepdim=True) + _EPSILON**2).sqrt()


def _cell_side(height: int, width: int) -> int:
    """Return a seventh of the image's side, of a long image that of a square of its area, and at least 2 pixels."""
    return max(2, round(math.sqrt(height * width) / _CELLS))
