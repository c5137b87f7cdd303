"""Baseline: the trained methods' encoder with random weights, never trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from bench import ImageShape, RunContext, Split, method
from bench.training.embedder import Embedder


@method
@dataclass
class Random:
    """What the architecture alone brings: everything above this was learnt."""

    encoder: str = "resnet"
    embedding_dim: int = 128
    size: int | None = None

    uses_labels = False
    baseline = "floor"

    def fit(self, train: Split, validation: Split, run: RunContext) -> None:
        torch.manual_seed(run.seed)
        self.embedder = self._untrained(train.images.shape).to(run.device).eval()
        self.embedder.measure(train)

    def embed(self, pixels: Tensor) -> Tensor:
        return self.embedder.embed(pixels)

    def count_parameters(self) -> int:
        return self.embedder.count_parameters()

    def state(self) -> Mapping[str, Tensor]:
        return self.embedder.state_dict()

    def restore(self, state: Mapping[str, Tensor], shape: ImageShape, device: torch.device) -> None:
        self.embedder = self._untrained(shape).to(device).eval()
        self.embedder.load_state_dict(dict(state))

    def _untrained(self, shape: ImageShape) -> Embedder:
        return Embedder(self.encoder, shape, self.embedding_dim, weights="none", size=self.size)  # a timm encoder's too
