"""Baseline: the leading principal components of the pixels (Turk & Pentland 1991, "eigenfaces"); no labels are used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bench import ImageShape, RunContext, Split, method
from bench.principal_components import principal_axes

_NUMBERS = 2**26  # of float32 that the sample may hold, 256 MiB: 85,000 images of 28x28, 445 photographs of 224x224


@method
@dataclass
class PCA:
    """Pixels on their ``dim`` directions of largest variance, or on as many as the training images span.

    The directions come from an evenly spaced sample of the training images; ``-o pca.whiten=true`` gives every
    direction the same variance. Components of a pretrained network's features instead: ``pretrained -o pca=128``.
    """

    embedding_dim: int = 128
    whiten: bool = False
    size: int | None = None

    uses_labels = False
    baseline = "floor"

    def __post_init__(self) -> None:
        if self.embedding_dim < 1:
            raise ValueError(f"embedding_dim must be at least 1, got {self.embedding_dim}")

    def fit(self, train: Split, validation: Split, run: RunContext) -> None:
        sample = _sample(train)
        mean = sample.mean(dim=0)
        # On the CPU, so that every device gets the same directions; it takes seconds.
        axes, variances = principal_axes(sample.sub_(mean), self.embedding_dim)
        if self.whiten:
            axes /= variances.clamp_min(torch.finfo(variances.dtype).tiny).sqrt()
        self.mean, self.axes = mean.to(run.device), axes.to(run.device)

    def embed(self, pixels: Tensor) -> Tensor:
        # The mean image itself would have no direction at all: a trace of constant keeps its vector from being zero.
        return (pixels.flatten(1) - self.mean) @ self.axes + 1e-6

    def count_parameters(self) -> int:
        return self.mean.numel() + self.axes.numel()

    def state(self) -> Mapping[str, Tensor]:
        return {"mean": self.mean, "axes": self.axes}

    def restore(self, state: Mapping[str, Tensor], shape: ImageShape, device: torch.device) -> None:
        self.mean, self.axes = state["mean"].to(device), state["axes"].to(device)


def _sample(train: Split) -> Tensor:
    """Return evenly spaced training images as float32 ``(n, channels * height * width)`` in [0, 1]."""
    shape = train.images.shape
    size = shape.channels * shape.height * shape.width
    rows = np.linspace(0, len(train) - 1, min(len(train), max(2, _NUMBERS // size))).astype(np.int64)
    sample = torch.empty(len(rows), size)
    for start in range(0, len(rows), 1_000):  # bytes become floats a piece at a time, in embed's order of channels
        piece = torch.from_numpy(train.images.take(rows[start : start + 1_000]))
        sample[start : start + 1_000] = piece.permute(0, 3, 1, 2).flatten(1).float().div_(255.0)
    return sample
