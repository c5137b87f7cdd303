"""Features of a network trained elsewhere (ImageNet, DINOv2, CLIP, ...), centred on the training images'; no labels.

Babenko et al. ("Neural codes for image retrieval", ECCV 2014) showed how far such features go without any training;
Jegou & Chum (ECCV 2012) why to take the mean out and to whiten.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench import ImageShape, RunContext, Split, file_option, method
from bench.principal_components import PrincipalComponents, fit_components
from bench.training.batches import in_chunks
from bench.training.embedder import EmbeddingNetwork
from bench.training.encoders.encoder import WEIGHT_WORDS
from bench.training.encoders.timm import Backbone, backbone_size, check_backbone
from bench.training.precision import Precision, mixed_precision

_TRACE = 1e-6  # keeps the mean vector itself from having no direction; a feature of a unit vector is some 1e-2
_AT_ONCE = 16  # images: batches of 128 photographs leave a CPU's cache, take 1.8 times as long an image, and gigabytes


@method
@dataclass
class Pretrained:
    """A vector is the model's pooled features at unit length, minus the mean of those of the training images.

    model, weights, size: see ``Backbone``. center: subtract the mean, which all images share and which makes all
    cosines alike: on photographs of cats and dogs it lifts map from .86 to .91. pca, whiten: keep so many principal
    components, give each the same variance. sample: how many training images, evenly spaced, the mean and the
    components are taken from.
    precision: what the network runs in; "auto" is over twice as fast where there is hardware for it, at a cosine of
    .999 to float32, whose vectors differ between machines by rounding only.
    """

    model: str = "tf_efficientnet_lite0"
    weights: str = file_option("pretrained", words=WEIGHT_WORDS)
    size: int | None = None
    center: bool = True
    pca: int | None = None
    whiten: bool = False
    sample: int = 2_000
    precision: Precision = "float32"

    uses_labels = False
    baseline = "frozen"

    def __post_init__(self) -> None:
        check_backbone(self.model)
        for name, value in (("size", self.size), ("pca", self.pca), ("sample", self.sample)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if not self.center and (self.pca is not None or self.whiten):
            raise ValueError("principal components are taken around the mean: pca and whiten need center=true")

    @property
    def native_size(self) -> tuple[int, int]:
        return backbone_size(self.model)

    def fit(self, train: Split, validation: Split, run: RunContext) -> None:
        torch.manual_seed(run.seed)  # for weights=none
        self.backbone = Backbone(self.model, train.images.shape, weights=self.weights, size=self.size)
        self.backbone.to(run.device).eval()
        height, width = self.backbone.input_size
        run.log(f"{self.model} at {height}x{width} pixels: {self.backbone.features} features an image")
        if not self.center:
            self.components = PrincipalComponents(torch.zeros(self.backbone.features, device=run.device))
            return
        vectors = self._features_of_sample(train, run)
        if self.pca is None and not self.whiten:
            fitted = PrincipalComponents(vectors.cpu().double().mean(dim=0).float())
        else:
            fitted = fit_components(vectors, dims=self.pca, whiten=self.whiten)
        self.components = fitted.to(run.device)
        dims = self.backbone.features if fitted.axes is None else len(fitted.axes)
        run.log(
            f"centred on {len(vectors)} of {len(train)} training images, whose mean vector has length "
            f"{float(fitted.mean.norm()):.3f} (1 would be all alike); {dims} dimensions{_variance(vectors, fitted)}"
        )

    def embed(self, pixels: Tensor) -> Tensor:
        return torch.cat([self.embed_at_once(part) for part in torch.split(pixels, _AT_ONCE)])

    def embed_at_once(self, pixels: Tensor) -> Tensor:
        """Return what ``embed`` does without taking the batch apart."""
        return self.components(self._unit_features(pixels)) + _TRACE

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

    @torch.no_grad()
    def _features_of_sample(self, train: Split, run: RunContext) -> Tensor:
        count = min(len(train), self.sample)
        chosen = train.subset(np.linspace(0, len(train) - 1, count).astype(np.int64))
        chunks = run.progress(in_chunks(chosen, run.device, _AT_ONCE), total=-(-count // _AT_ONCE), what="features")
        return torch.cat([self._unit_features(pixels) for pixels in chunks])

    def _unit_features(self, pixels: Tensor) -> Tensor:
        """Return unit vectors float32 ``(n, features)``: before centring, so that every image weighs the same in it."""
        with mixed_precision(pixels.device, self.precision):
            features = self.backbone(pixels)
        return F.normalize(features.float(), dim=1)


def _part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def _variance(vectors: Tensor, fitted: PrincipalComponents) -> str:
    """Return the share of variance that the principal axes hold, in words; nothing without axes."""
    if fitted.axes is None:
        return ""
    centred = vectors.cpu() - fitted.mean
    along = (centred @ F.normalize(fitted.axes, dim=1).T).square().sum() / centred.square().sum()
    return f" with {100 * float(along):.1f} % of the variance"
