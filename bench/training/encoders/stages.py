"""A timm model cut in two: the stages that stand still, and the last ones, which are trained on what those make."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import torch
from timm.models.efficientnet import EfficientNet
from timm.models.resnet import ResNet
from torch import Tensor, nn

from bench.contract import Size, UsageError


def keep_statistics(modules: Iterable[nn.Module]) -> None:
    """Let batch norms use the statistics they came with, in training too: batches of a few images would blur them."""
    for module in modules:
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


class FirstStages(nn.Module):
    """Pixels to activations: float ``(n, channels, height, width)`` to ``(n, numbers)``, in the order of memory.

    prepare: makes of pixels what the model itself is shown; it is no part of this module, and learns nothing.
    """

    def __init__(self, layers: nn.Sequential, prepare: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layers, self._prepare = layers, prepare

    def forward(self, pixels: Tensor) -> Tensor:
        maps: Tensor = self.layers(self._prepare(pixels))
        return maps.permute(0, 2, 3, 1).flatten(1)


class LastStages(nn.Module):
    """Activations ``(n, numbers)`` to the model's features ``(n, features)``. shape: (height, width, channels)."""

    def __init__(self, layers: nn.Sequential, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.layers, self._shape = layers, shape

    def forward(self, activations: Tensor) -> Tensor:
        maps = activations.view(len(activations), *self._shape).permute(0, 3, 1, 2)
        features: Tensor = self.layers(maps)
        return features

    def train(self, mode: bool = True) -> LastStages:
        super().train(mode)
        keep_statistics(self.modules())
        return self


class Whole(Protocol):
    """A model without its classifier: ``prepare`` makes of pixels what it is shown, at ``input_size``."""

    model: nn.Module
    input_size: Size
    mean: Tensor

    def prepare(self, pixels: Tensor) -> Tensor: ...


def cut(backbone: Whole, last: int) -> tuple[FirstStages, LastStages]:
    """Return a backbone as two modules that share its weights: all but its ``last`` stages, and those.

    Raises UsageError for a model that is no EfficientNet or ResNet, and for one with too few stages.
    """
    model = backbone.model
    if isinstance(model, EfficientNet):
        before, stages = [model.conv_stem, model.bn1], [*model.blocks]
        after = [model.conv_head, model.bn2, model.global_pool]
    elif isinstance(model, ResNet):
        before, after = [model.conv1, model.bn1, model.act1, model.maxpool], [model.global_pool]
        stages = [model.layer1, model.layer2, model.layer3, model.layer4]
    else:
        raise UsageError(
            f"tuned_stages={last} needs an EfficientNet or a ResNet, whose last stages can be trained alone, not "
            f"{type(model).__name__}; say freeze_fraction=.2 to train all of it"
        )
    if last >= len(stages):
        raise UsageError(f"tuned_stages must be below {len(stages)}, the stages of this {type(model).__name__}")
    first = FirstStages(nn.Sequential(*before, *stages[:-last]), backbone.prepare)
    with torch.no_grad():
        pixels = backbone.mean.new_zeros(1, 3, *backbone.input_size)
        channels, height, width = first.layers.eval()(backbone.prepare(pixels)).shape[1:]
    return first, LastStages(nn.Sequential(*stages[-last:], *after), (height, width, channels))
