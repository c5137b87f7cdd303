"""Any backbone of timm with a projection on top, for training on from what it learnt elsewhere."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench.contract import ImageShape
from bench.training.encoders.backbones import Backbone
from bench.training.encoders.encoder import Encoder


class TimmEncoder(Encoder):
    """A timm model's pooled features, projected linearly to ``dim`` and batch-normalised.

    weights: as ``Backbone`` takes them. Pretrained batch norms keep the statistics they came with: batches of a few
    images would only blur them. It standardises and resizes pixels as its own model was trained.
    """

    standardises = True

    def __init__(self, name: str, shape: ImageShape, dim: int, *, weights: str) -> None:
        super().__init__()
        self.backbone = Backbone(name, shape, weights=weights)
        self.projection = nn.Linear(self.backbone.features, dim, bias=False)
        self.norm = nn.BatchNorm1d(dim)
        self._is_pretrained = weights != "none"
        self._still = False

    def pretrained(self) -> list[nn.Parameter]:
        return list(self.backbone.parameters()) if self._is_pretrained else []

    def hold(self, still: bool) -> None:
        self._still = still and self._is_pretrained

    def train(self, mode: bool = True) -> TimmEncoder:
        super().train(mode)
        if self._is_pretrained:
            for module in self.backbone.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self._still):
            features = self.backbone(x)
        out: Tensor = self.norm(self.projection(features))
        return out
