"""The two-block network of the cosine-and-cross-entropy seed project."""

from __future__ import annotations

import itertools
import math

from torch import Tensor, nn
from torch.nn import functional as F

from bench.contract import ImageShape
from bench.plugins import encoder
from bench.training.encoders.encoder import Encoder

_WIDTHS = (32, 64)


@encoder
class EmbeddingNet(Encoder):
    """Two blocks of 3x3 convolution, batch norm, ReLU, 2x2 max pooling; then linear, batch norm, ReLU.

    On 28x28 images the linear layer takes 64 x 7 x 7 = 3136 numbers, as in the original, whose vectors have no negative
    component either.
    """

    def __init__(self, shape: ImageShape, dim: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise((shape.channels, *_WIDTHS)):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
            layers += [nn.MaxPool2d(2, ceil_mode=True)]
        self.features = nn.Sequential(*layers)
        height, width = (math.ceil(side / 4) for side in (shape.height, shape.width))
        self.projection = nn.Linear(_WIDTHS[-1] * height * width, dim)
        self.norm = nn.BatchNorm1d(dim)

    def forward(self, x: Tensor) -> Tensor:
        # A trace of constant: a vector whose every component the ReLU cut off would have no direction.
        return F.relu(self.norm(self.projection(self.features(x).flatten(1)))) + 1e-6
