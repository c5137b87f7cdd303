"""A run's backbone as timm loads it, and what is behind it as one affine map where it is one."""

from __future__ import annotations

import runpy
from copy import deepcopy
from pathlib import Path

import torch
from safetensors.torch import save_file
from timm.models import save_for_hf
from torch import Tensor, nn
from torch.nn import functional as F

from bench.contract import ImageShape
from bench.export.onnx_network import UnitNetwork
from bench.principal_components import PrincipalComponents
from bench.training.encoders.timm import Backbone, TimmEncoder

PROJECTION = "projection.safetensors"
_CLOSE = 1e-4  # of 1 - cosine, as in parity


def write_backbone(folder: Path, method: object, network: UnitNetwork, samples: Tensor) -> str:
    """Write model.safetensors, config.json and projection.safetensors; return why not, or nothing where it was done.

    folder: has load.py. samples: float32 ``(n, channels, height, width)`` in [0, 1], on which the files, read again,
    have to give the network's vectors; else they are taken away.
    """
    backbones = [module for module in network.modules() if isinstance(module, Backbone)]
    if len(backbones) != 1:
        return "its encoder is no timm model"
    backbone, projection = backbones[0], _affine(method)
    if projection is None:
        return "what is behind its backbone is no affine map"
    if not _shown_as_they_are(backbone, ImageShape(samples.shape[2], samples.shape[3], samples.shape[1])):
        return f"its pictures are cut again to the backbone's {backbone.input_size[0]}x{backbone.input_size[1]} pixels"
    sizes = {"input_size": (3, *backbone.input_size), "crop_pct": 1.0}
    model = deepcopy(backbone.model).to(memory_format=torch.contiguous_format)  # safetensors takes no other
    save_for_hf(model, str(folder), safe_serialization=True, model_config={"pretrained_cfg": sizes})
    save_file(projection, folder / PROJECTION)
    by_timm = runpy.run_path(str(folder / "load.py"))["embed_by_timm"]  # as those who have the folder will
    with torch.no_grad():
        apart = 1 - F.cosine_similarity(torch.from_numpy(by_timm(samples.numpy())), network(samples)).min()
    if float(apart) <= _CLOSE:
        return ""
    for name in ("model.safetensors", "config.json", PROJECTION):
        (folder / name).unlink()
    return f"an affine map behind it does not give the run's vectors (1 - cosine {float(apart):.2g})"


def _shown_as_they_are(backbone: Backbone, shape: ImageShape) -> bool:
    """Return whether the backbone's input is the run's pictures, or all of them enlarged: nothing is cut off."""
    (height, width), side = backbone.input_size, max(shape.height, shape.width)
    same = (shape.height, shape.width) == (height, width)
    return same or (shape.height == shape.width and height == width and side < height)


def _affine(method: object) -> dict[str, Tensor] | None:
    """Return what follows the features: ``mean``, taken from features of unit length, ``weight`` (k, d), ``bias``."""
    components = getattr(method, "components", None)
    if isinstance(components, PrincipalComponents):
        turn = {} if components.axes is None else {"weight": components.axes.contiguous()}
        return {"mean": components.mean.contiguous(), **turn}
    encoder = getattr(getattr(method, "embedder", None), "encoder", None)
    if not isinstance(encoder, TimmEncoder) or not isinstance(encoder.projection, nn.Linear):
        return None
    norm = encoder.norm
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        return None
    scale = norm.weight.detach() / (variance + norm.eps).sqrt()
    stretched = encoder.projection.weight.detach() * scale[:, None]
    return {"weight": stretched.contiguous(), "bias": (norm.bias.detach() - mean * scale).contiguous()}
