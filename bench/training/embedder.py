"""From pixels in [0, 1] to unit vectors: what every trained method embeds with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from bench.contract import Images, ImageShape, Split
from bench.training.batches import in_chunks
from bench.training.encoders.encoder import build_encoder
from bench.training.precision import Precision, mixed_precision

_SAMPLE = 10_000  # images that the mean and the spread of the pixels are measured on
_AT_ONCE = 64  # of them


class Embedder(nn.Module):
    """Standardise by channel, encode, normalise to unit length.

    ``forward`` is for training: standardised pixels through the encoder, float ``(n, dim)`` before normalisation.
    ``embed`` is for use: unit float32 ``(n, dim)``.
    """

    mean: Tensor
    spread: Tensor

    def __init__(
        self,
        encoder: str,
        shape: ImageShape,
        dim: int,
        *,
        weights: str = "pretrained",
        size: int | None = None,
        hidden: int = 0,
    ) -> None:
        super().__init__()
        self.encoder = build_encoder(encoder, shape, dim, weights=weights, size=size, hidden=hidden)
        self.register_buffer("mean", torch.zeros(1, shape.channels, 1, 1))
        self.register_buffer("spread", torch.ones(1, shape.channels, 1, 1))
        self.to(memory_format=torch.channels_last)

    def measure(self, train: Split) -> None:
        """Set the mean and spread of each channel from the training pixels (a fixed, evenly spaced sample of them)."""
        rows = np.linspace(0, len(train) - 1, min(len(train), _SAMPLE)).astype(np.int64)
        counts = torch.from_numpy(_histograms(train.images, rows)).double()
        counts /= counts.sum(dim=1, keepdim=True)
        levels = torch.linspace(0, 1, 256, dtype=torch.float64)
        mean = counts @ levels
        spread = (counts @ levels.square() - mean.square()).clamp_min(0).sqrt().clamp_min(1e-3)
        self.mean.copy_(mean.float().view_as(self.mean))
        self.spread.copy_(spread.float().view_as(self.spread))

    def count_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())

    def forward(self, pixels: Tensor) -> Tensor:
        ready = pixels if self.encoder.standardises else (pixels - self.mean) / self.spread
        out: Tensor = self.encoder(ready)
        return out

    def embed(self, pixels: Tensor) -> Tensor:
        """Return unit vectors float32 ``(n, dim)`` of pixels float ``(n, channels, height, width)`` in [0, 1]."""
        return F.normalize(self(pixels).float(), dim=1)

    @torch.no_grad()
    def embed_split(self, split: Split, device: torch.device, precision: Precision = "auto") -> Tensor:
        """Return the unit vectors of a whole split, float32 ``(n, dim)`` on the device, for use in training."""
        with mixed_precision(device, precision):
            return torch.cat([self.embed(pixels) for pixels in in_chunks(split, device, keep=True)])


def _histograms(images: Images, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how often each value comes in each channel of some images, int64 ``(channels, 256)``.

    Mean and spread follow from it, without all pixels as float64, which would take eight times their memory.
    """
    counts = np.zeros((images.shape.channels, 256), np.int64)
    for start in range(0, len(rows), _AT_ONCE):
        pixels = images.take(rows[start : start + _AT_ONCE]).reshape(-1, images.shape.channels)
        counts += np.stack([np.bincount(channel, minlength=256) for channel in pixels.T])
    return counts


class EmbeddingNetwork(nn.Module):
    """From pixels in [0, 1] to vectors in one piece: what is exported, and compiled by engines in their own precision.

    embed: what it does; parts: the modules that it uses.
    """

    def __init__(self, embed: Callable[[Tensor], Tensor], *parts: nn.Module) -> None:
        super().__init__()
        self.parts, self._embed = nn.ModuleList(parts), embed

    def forward(self, pixels: Tensor) -> Tensor:
        return self._embed(pixels)
