"""The decoder: from an embedding back to an image of the data set's own size and channels."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.contract import ImageShape
from bench.training.encoders.resnet import ResidualBlock

_SEED_SIZE = 8  # the spatial size, at most, that the first linear layer paints before upsampling begins


class UpsamplingBlock(ResidualBlock):
    """A residual block that doubles height and width (nearest neighbour) between its two convolutions."""

    def forward(self, x: Tensor) -> Tensor:
        # What can be done before upsampling costs a quarter there: the wide convolution and the 1x1 skip.
        inner = self.bn2(self.conv2(_doubled(F.relu(self.bn1(self.conv1(x))))))
        return F.relu(inner + _doubled(self.skip(x)))


class Decoder(nn.Module):
    """Vectors float ``(n, dim)`` to images float ``(n, channels, height, width)`` in [0, 1].

    A linear layer paints a small image of many channels; each upsampling residual block doubles its size; a 3x3
    convolution and a sigmoid end at the image, cut to the exact size. 28x28 grows as 7, 14, 28.
    """

    def __init__(self, shape: ImageShape, dim: int, width: int = 128) -> None:
        super().__init__()
        doublings = max(1, math.ceil(math.log2(max(shape.height, shape.width) / _SEED_SIZE)))
        self.shape = shape
        self.seed_shape = (width, -(-shape.height // 2**doublings), -(-shape.width // 2**doublings))
        self.seed = nn.Linear(dim, math.prod(self.seed_shape))
        widths = [max(16, width >> step) for step in range(doublings + 1)]
        self.blocks = nn.Sequential(*[UpsamplingBlock(a, b) for a, b in itertools.pairwise(widths)])
        self.paint = nn.Conv2d(widths[-1], shape.channels, 3, padding=1)

    def forward(self, vectors: Tensor) -> Tensor:
        small = F.relu(self.seed(vectors)).view(-1, *self.seed_shape).contiguous(memory_format=torch.channels_last)
        image: Tensor = torch.sigmoid(self.paint(self.blocks(small)).float())
        return image[:, :, : self.shape.height, : self.shape.width]


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
