"""A folder of timm's, ``config.json`` and ``model.safetensors``, as a method that learns nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import PretrainedCfg
from torch import Tensor, nn
from torch.nn import functional as F

from bench.contract import DataError, ImageShape, RunContext, Size, Split, UsageError
from bench.environment import user_path
from bench.naming import reason_of
from bench.options import file_option
from bench.training.encoders.timm import Backbone
from bench.training.encoders.weight_files import load_weights, read_weights
from bench.training.features import at_once

CONFIG, WEIGHTS, PROJECTION = "config.json", "model.safetensors", "projection.safetensors"
_PROJECTED = ("mean", "weight", "bias")
_NOWHERE = "none"


@dataclass
class ImportedBackbone:
    """A timm model's pooled features, as its folder says it is to be shown pictures.

    config, weights: the folder's files; projection: the file of what is behind the backbone in a run that was exported,
    or none.
    """

    config: str = file_option(_NOWHERE, words=(_NOWHERE,))
    weights: str = file_option(_NOWHERE, words=(_NOWHERE,))
    projection: str = file_option(_NOWHERE, words=(_NOWHERE,))

    uses_labels = False
    baseline = "frozen"

    @property
    def native_size(self) -> Size:
        """The (height, width) that the folder names."""
        return _size_in(self._described())

    def fit(self, train: Split, validation: Split, run: RunContext) -> None:
        """Read the folder. Raises UsageError, DataError or SimbenchError where timm cannot make its model of it."""
        content = self._described()
        backbone = FolderBackbone(content)
        load_weights(backbone.model, read_weights(user_path(self.weights)), self.weights)
        kept = {} if self.projection == _NOWHERE else read_weights(user_path(self.projection))
        strange = sorted(set(kept) - set(_PROJECTED))
        if strange:
            raise DataError(f"{self.projection}: {strange[0]!r} in it is none of {', '.join(_PROJECTED)}")
        self._start(content, ProjectedBackbone(backbone, kept), run.device)
        height, width = backbone.input_size
        run.log(f"{self.config}: {backbone.features} features of {height}x{width} pixels{', projected' * bool(kept)}")

    def embed(self, pixels: Tensor) -> Tensor:
        return torch.cat([self._network(part) for part in torch.split(pixels, at_once(pixels.device))])

    def network(self) -> nn.Module:
        return self._network

    def count_parameters(self) -> int:
        projected = (one.numel() for _, one in self._network.named_buffers(recurse=False))
        return sum(one.numel() for one in self._network.parameters()) + sum(projected)

    def state(self) -> Mapping[str, Tensor]:
        """Return the tensors, and config.json itself: a run can be used again when the folder is gone."""
        described = {CONFIG: torch.frombuffer(bytearray(self._content), dtype=torch.uint8)}
        return described | self._network.state_dict()

    def restore(self, state: Mapping[str, Tensor], shape: ImageShape, device: torch.device) -> None:
        content = state[CONFIG].cpu().numpy().tobytes()
        tensors = {name: tensor for name, tensor in state.items() if name != CONFIG}
        projection = {name: tensor for name, tensor in tensors.items() if name in _PROJECTED}
        network = ProjectedBackbone(FolderBackbone(content), projection)
        network.load_state_dict(tensors)
        self._start(content, network, device)

    def _start(self, content: bytes, network: ProjectedBackbone, device: torch.device) -> None:
        self._content, self._network = content, network.to(device).eval()

    def _described(self) -> bytes:
        if _NOWHERE in (self.config, self.weights):
            raise UsageError(f"an imported backbone needs -o config={CONFIG} and -o weights={WEIGHTS} of timm's folder")
        try:
            return user_path(self.config).read_bytes()
        except OSError as error:
            raise DataError(f"{self.config}: cannot be read ({error.strerror or error})") from error


def folder_files(folder: Path) -> dict[str, Path]:
    """Return the files of a folder of timm's by option. Raises UsageError where it is none."""
    lacking = [name for name in (CONFIG, WEIGHTS) if not (folder / name).is_file()]
    if lacking:
        onnx = "; import its model.onnx" if (folder / "model.onnx").is_file() else ""
        raise UsageError(f"{folder}: no folder of timm's, as there is no {' and no '.join(lacking)} in it{onnx}")
    found = {"config": folder / CONFIG, "weights": folder / WEIGHTS, "projection": folder / PROJECTION}
    return {option: path for option, path in found.items() if path.is_file()}


class FolderBackbone(Backbone):
    """The model that a config.json of timm's describes, with random weights yet; its vectors are as a Backbone's."""

    def __init__(self, content: bytes) -> None:
        nn.Module.__init__(self)  # a Backbone finds its model by name
        model = _described_model(content)
        self.input_size = _input_size(model)
        self._show_as(PretrainedCfg(**model.pretrained_cfg))
        self.model = model
        self.features = self._measure(str(model.pretrained_cfg["architecture"]))
        self.to(memory_format=torch.channels_last)


class ProjectedBackbone(nn.Module):
    """A backbone and what is behind it: pixels float ``(n, c, h, w)`` in [0, 1] to ``(n, d)``.

    projection: as `bench.export.timm_folder` writes it: with ``mean``, features are brought to unit length first, and
    it is taken from them; then ``weight`` (d, features) and ``bias`` (d,). Nothing in it: the features.
    """

    mean: Tensor | None
    weight: Tensor | None
    bias: Tensor | None

    def __init__(self, backbone: Backbone, projection: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.backbone = backbone
        for name in _PROJECTED:
            self.register_buffer(name, projection[name].float() if name in projection else None)

    def forward(self, pixels: Tensor) -> Tensor:
        vectors: Tensor = self.backbone(pixels).float()
        if self.mean is not None:
            vectors = F.normalize(vectors, dim=1) - self.mean
        if self.weight is not None:
            vectors = vectors @ self.weight.T
        return vectors if self.bias is None else vectors + self.bias


def _described_model(content: bytes) -> Any:
    """Return the model without its classifier. Raises DataError, in one line, where timm cannot make it."""
    with tempfile.TemporaryDirectory() as folder:  # timm reads a folder's config.json, and a run keeps its bytes
        (Path(folder) / CONFIG).write_bytes(content)
        try:
            return timm.create_model(f"local-dir:{folder}", pretrained=False, num_classes=0)
        except Exception as error:  # of JSON, of a name that timm does not know, of arguments that a model lacks
            raise DataError(f"{CONFIG}: timm cannot make a model of it ({reason_of(error)})") from error


@cache
def _size_in(content: bytes) -> Size:
    """Return the size that a config.json means; only a model made by it knows, and making one can take a second."""
    return _input_size(_described_model(content))


def _input_size(model: Any) -> Size:
    channels, height, width = PretrainedCfg(**model.pretrained_cfg).input_size
    if channels != 3:
        raise DataError(f"{CONFIG}: its model takes pictures of {channels} channels, not 3")
    return int(height), int(width)
