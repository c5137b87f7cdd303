"""From pixels in [0, 1] to unit vectors: what every trained method embeds with."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.contract import ImageShape, Split
from bench.training.batches import in_chunks
from bench.training.encoders import build_encoder
from bench.training.precision import Precision, mixed_precision

_SAMPLE = 10_000  # images that the mean and the spread of the pixels are measured on


class Embedder(nn.Module):
    """Standardise by channel, encode, normalise to unit length; average over the mirrored image where that is allowed.

    ``forward`` is for training: standardised pixels through the encoder, float ``(n, dim)`` before normalisation.
    ``embed`` is for use: unit float32 ``(n, dim)``. With ``mirror`` the vector is the normalised sum of the image's
    and its mirror image's unit vectors, so that an image and its mirror image embed alike.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, encoder: str, shape: ImageShape, dim: int, *, mirror: bool, weights: str = "pretrained") -> None:
        super().__init__()
        self.encoder = build_encoder(encoder, shape, dim, weights=weights)
        self.register_buffer("mean", torch.zeros(1, shape.channels, 1, 1))
        self.register_buffer("spread", torch.ones(1, shape.channels, 1, 1))
        self.register_buffer("mirror", torch.tensor(mirror))
        self.mirrors = mirror
        self.to(memory_format=torch.channels_last)

    def measure(self, train: Split) -> None:
        """Set the mean and spread of each channel from the training pixels (a fixed, evenly spaced sample of them)."""
        rows = np.linspace(0, len(train) - 1, min(len(train), _SAMPLE)).astype(np.int64)
        pixels = train.images.take(rows).reshape(-1, train.images.shape.channels)
        mean, spread = pixels.mean(axis=0) / 255.0, pixels.std(axis=0) / 255.0
        self.mean.copy_(torch.as_tensor(mean).view_as(self.mean))
        self.spread.copy_(torch.as_tensor(spread).clamp_min(1e-3).view_as(self.spread))

    def count_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())

    def forward(self, pixels: Tensor) -> Tensor:
        ready = pixels if self.encoder.standardises else (pixels - self.mean) / self.spread
        out: Tensor = self.encoder(ready)
        return out

    def embed(self, pixels: Tensor) -> Tensor:
        """Return unit vectors float32 ``(n, dim)`` of pixels float ``(n, channels, height, width)`` in [0, 1]."""
        if not self.mirrors:
            return self._view(pixels)
        return F.normalize(self._view(pixels) + self._view(pixels.flip(3)), dim=1)

    def embed_with_gradient(self, pixels: Tensor) -> Tensor:
        """Return what ``embed`` does, with the gradient through one of the two views, either with equal chance.

        A backward pass costs four forward ones here; half of the gradient is enough to train on.
        """
        if not self.mirrors:
            return self._view(pixels)
        learnt, still = (pixels, pixels.flip(3)) if torch.rand(()) < 0.5 else (pixels.flip(3), pixels)
        with torch.no_grad():
            constant = self._view(still)
        return F.normalize(self._view(learnt) + constant, dim=1)

    @torch.no_grad()
    def embed_split(self, split: Split, device: torch.device, precision: Precision = "auto") -> Tensor:
        """Return the unit vectors of a whole split, float32 ``(n, dim)`` on the device, for use in training."""
        with mixed_precision(device, precision):
            return torch.cat([self.embed(pixels) for pixels in in_chunks(split, device)])

    def _view(self, pixels: Tensor) -> Tensor:
        return F.normalize(self(pixels).float(), dim=1)


class EmbeddingNetwork(nn.Module):
    """An embedder as one network from pixels in [0, 1] to unit vectors: what is exported and compiled."""

    def __init__(self, embedder: Embedder) -> None:
        super().__init__()
        self.embedder = embedder

    def forward(self, pixels: Tensor) -> Tensor:
        return self.embedder.embed(pixels)
