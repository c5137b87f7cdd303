"""What methods on a pretrained network's features share: how features become vectors; ``fit`` says by which map."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench import ImageShape, RunContext, file_option
from bench.principal_components import PrincipalComponents
from bench.training.embedder import EmbeddingNetwork
from bench.training.encoders.encoder import WEIGHT_WORDS
from bench.training.encoders.timm import Backbone, backbone_size, check_backbone
from bench.training.encoders.zoo import timm_name
from bench.training.features import at_once
from bench.training.precision import Precision, mixed_precision

_TRACE = 1e-6  # keeps the mean vector itself from having no direction; a feature of a unit vector is some 1e-2


@dataclass
class FeatureMethod:
    """A method whose vector is an affine map of a model's pooled features at unit length; ``fit`` finds ``components``.

    model: one of ``simbench list models``, or as ``Backbone`` takes it. weights, size: see there. precision: what the
    network runs in; "auto" is over twice as fast where there is hardware for it, at a cosine of .999 to float32, whose
    vectors differ between machines by rounding only.
    """

    model: str = "tf_efficientnet_lite0"
    weights: str = file_option("pretrained", words=WEIGHT_WORDS)
    size: int | None = None
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        self.model = timm_name(self.model)  # a run's key does not depend on how its model was called
        check_backbone(self.model)
        if self.size is not None and self.size < 1:
            raise ValueError(f"size must be at least 1, got {self.size}")

    @property
    def native_size(self) -> tuple[int, int]:
        return backbone_size(self.model)

    def prepare(self, shape: ImageShape, run: RunContext) -> None:
        """Make the backbone, on the run's device."""
        torch.manual_seed(run.seed)  # for weights=none
        self.backbone = Backbone(self.model, shape, weights=self.weights, size=self.size)
        self.backbone.to(run.device).eval()
        height, width = self.backbone.input_size
        run.log(f"{self.model} at {height}x{width} pixels: {self.backbone.features} features an image")

    def embed(self, pixels: Tensor) -> Tensor:
        return torch.cat([self.embed_at_once(part) for part in torch.split(pixels, at_once(pixels.device))])

    def embed_at_once(self, pixels: Tensor) -> Tensor:
        """Return what ``embed`` does without taking the batch apart."""
        return self.components(self.unit_features(pixels)) + _TRACE

    def unit_features(self, pixels: Tensor) -> Tensor:
        """Return unit vectors float32 ``(n, features)``: before centring, so that every image weighs the same in it."""
        with mixed_precision(pixels.device, self.precision):
            features = self.backbone(pixels)
        return F.normalize(features.float(), dim=1)

    def network(self) -> nn.Module:
        return EmbeddingNetwork(self.embed_at_once, self.backbone)

    def count_parameters(self) -> int:
        return sum(p.numel() for p in self.backbone.parameters()) + self.components.count_parameters()

    def state(self) -> Mapping[str, Tensor]:
        named = {"backbone": self.backbone.state_dict(), "whitening": self.components.state()}
        return {f"{part}.{name}": tensor for part, tensors in named.items() for name, tensor in tensors.items()}

    def restore(self, state: Mapping[str, Tensor], shape: ImageShape, device: torch.device) -> None:
        self.backbone = Backbone(self.model, shape, weights="none", size=self.size)
        self.backbone.load_state_dict(_part(state, "backbone."))
        self.backbone.to(device).eval()
        self.components = PrincipalComponents.restored(_part(state, "whitening.")).to(device)


def _part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
