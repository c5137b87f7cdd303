"""Baseline: the pixels themselves as vectors; no learning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bench import ImageShape, RunContext, Split, method

_CHUNK = 4_096


@method
@dataclass
class Pixels:
    """Cosine of raw pixel vectors: hard to beat on centred digits and garments, near chance on photographs.

    ``-o center=true`` takes the mean training image out first.
    """

    center: bool = False
    size: int | None = None

    uses_labels = False
    baseline = "floor"

    def fit(self, train: Split, validation: Split, run: RunContext) -> None:
        shape = train.images.shape
        total = np.zeros((shape.height, shape.width, shape.channels), np.float64)
        if self.center:
            for start in range(0, len(train), _CHUNK):
                total += train.images.take(slice(start, start + _CHUNK)).sum(axis=0, dtype=np.float64)
        mean = torch.from_numpy(total / (255.0 * len(train))).float()
        self.mean = mean.permute(2, 0, 1).to(run.device)

    def embed(self, pixels: Tensor) -> Tensor:
        # A black image would have no direction at all: a trace of constant keeps its vector from being zero.
        return (pixels - self.mean).flatten(1) + 1e-6

    def state(self) -> Mapping[str, Tensor]:
        return {"mean": self.mean}

    def restore(self, state: Mapping[str, Tensor], shape: ImageShape, device: torch.device) -> None:
        self.mean = state["mean"].to(device)
