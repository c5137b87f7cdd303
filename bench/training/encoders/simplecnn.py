"""The four-convolution network of the contrastive seed project."""

from __future__ import annotations

import itertools

from torch import Tensor, nn
from torch.nn import functional as F

from bench.contract import ImageShape
from bench.plugins import encoder
from bench.training.encoders.encoder import Encoder

_WIDTHS = (32, 64, 128, 256)


@encoder
class SimpleCNN(Encoder):
    """Four 3x3 convolutions (32, 64, 128, 256 channels), each with ReLU and 2x2 max pooling, then a linear layer.

    No normalisation layer, as in the original; its 224x224 input becomes 14x14x256 before the linear layer. Pooling
    keeps odd edges, so that images of any size go through.
    """

    def __init__(self, shape: ImageShape, dim: int) -> None:
        super().__init__()
        widths = (shape.channels, *_WIDTHS)
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in itertools.pairwise(widths))
        height, width = shape.height, shape.width
        for _ in _WIDTHS:
            height, width = -(-height // 2), -(-width // 2)
        self.projection = nn.Linear(_WIDTHS[-1] * height * width, dim)

    def forward(self, x: Tensor) -> Tensor:
        for convolution in self.convolutions:
            x = F.max_pool2d(F.relu(convolution(x)), 2, ceil_mode=True)
        out: Tensor = self.projection(x.flatten(1))
        return out
