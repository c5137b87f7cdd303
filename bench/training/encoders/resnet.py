"""The default encoder: a small residual network (the kind of the ArcFace seed project)."""

from __future__ import annotations

import itertools
import math

from torch import Tensor, nn
from torch.nn import functional as F

from bench.contract import ImageShape
from bench.plugins import encoder
from bench.training.encoders.encoder import Encoder

# Full resolution is the costly part of a small network on a CPU: from this size on the stem halves first.
_LARGEST_STEM = 32


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norm and a skip connection (He et al. 2016, basic block)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.skip: nn.Module = nn.Identity()
        if inputs != outputs:
            self.skip = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        inner = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(inner + self.skip(x))


@encoder
class ResNetEncoder(Encoder):
    """The default encoder: a stem, then a residual block at half and at quarter resolution, average pool, projection.

    Input float ``(n, channels, height, width)``, output float ``(n, dim)``, batch-normalised and not yet unit length.
    On 28x28 images: 3x3 convolution to 32 channels at 28x28, block of 64 at 14x14, block of 128 at 7x7. Larger images
    are halved by strided convolutions until the stem works on at most 32x32. Colour images get one more convolution, to
    64 channels, before the first pooling: the colours of neighbouring pixels have to be told apart first.
    """

    def __init__(self, shape: ImageShape, dim: int) -> None:
        super().__init__()
        widths = [32, 64, 128] if shape.channels == 1 else [32, 64, 64, 128]
        halved = halvings(shape)
        layers: list[nn.Module] = [_convolution(shape.channels, widths[0], stride=2 if halved else 1)]
        layers += [_convolution(widths[0], widths[0], stride=2) for _ in range(halved - 1)]
        if shape.channels == 3:
            layers.append(_convolution(widths[0], widths[1], stride=1))
            widths = widths[1:]
        for inputs, outputs in itertools.pairwise(widths):
            layers += [nn.MaxPool2d(2, ceil_mode=True), ResidualBlock(inputs, outputs)]
        self.features = nn.Sequential(*layers)
        self.projection = nn.Linear(widths[-1], dim, bias=False)
        self.norm = nn.BatchNorm1d(dim)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.projection(self.features(x).mean(dim=(2, 3))))
        return out


def halvings(shape: ImageShape) -> int:
    """Return how often images are to be halved before a stem works on at most 32x32."""
    return max(0, math.ceil(math.log2(max(shape.height, shape.width) / _LARGEST_STEM)))


def _convolution(inputs: int, outputs: int, *, stride: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )
