"""A network for small colour images that learns much in few epochs: wide where the resolution is low."""

from __future__ import annotations

import itertools

from torch import Tensor, nn

from bench.contract import ImageShape
from bench.plugins import encoder
from bench.training.encoders.encoder import Encoder
from bench.training.encoders.resnet import halvings

_STEM = 24
_WIDTHS = (64, 256, 256)


@encoder
class Airbench(Encoder):
    """Three stages of two 3x3 convolutions, 64, 256 and 256 channels wide, then the maximum of all places, projection.

    Input float ``(n, channels, height, width)``, output float ``(n, dim)``, batch-normalised and not yet unit length.
    A stage halves the resolution between its convolutions; each has batch norm and GELU. On 32x32 images three times
    the operations of the default encoder, and six times its parameters. Larger images are halved by strided
    convolutions until the stem works on at most 32x32. After the network of Jordan, "94% on CIFAR-10 in 3.29 seconds
    on a single GPU", 2024, whose first layer is whitened by the training images and stands still; here it learns.
    """

    def __init__(self, shape: ImageShape, dim: int) -> None:
        super().__init__()
        halved = halvings(shape)
        layers: list[nn.Module] = [_convolution(shape.channels, _STEM, 2 if halved else 1), *_norm(_STEM)]
        for _ in range(halved - 1):
            layers += [_convolution(_STEM, _STEM, 2), *_norm(_STEM)]
        layers += [_stage(inputs, outputs) for inputs, outputs in itertools.pairwise((_STEM, *_WIDTHS))]
        self.features = nn.Sequential(*layers)
        self.projection = nn.Linear(_WIDTHS[-1], dim, bias=False)
        self.norm = nn.BatchNorm1d(dim)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.projection(self.features(x).amax(dim=(2, 3))))
        return out


def _stage(inputs: int, outputs: int) -> nn.Module:
    halved = _convolution(inputs, outputs), nn.MaxPool2d(2, ceil_mode=True), *_norm(outputs)
    return nn.Sequential(*halved, _convolution(outputs, outputs), *_norm(outputs))


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Module:
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)


def _norm(channels: int) -> tuple[nn.Module, nn.Module]:
    return nn.BatchNorm2d(channels), nn.GELU()
