"""The decoder: from an embedding back to an image of the data set's own size and channels."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.contract import ImageShape
from bench.training.batches import Batch, in_chunks
from bench.training.embedder import Embedder
from bench.training.encoders.resnet import ResidualBlock
from bench.training.precision import mixed_precision
from bench.training.trained import H, Job, TrainedMethod

_SEED_SIZE = 8  # the spatial size, at most, that the first linear layer paints before upsampling begins


class UpsamplingBlock(ResidualBlock):
    """A residual block that doubles height and width (nearest neighbour) between its two convolutions."""

    def forward(self, x: Tensor) -> Tensor:
        # What can be done before upsampling costs a quarter there: the wide convolution and the 1x1 skip.
        inner = self.bn2(self.conv2(_doubled(F.relu(self.bn1(self.conv1(x))))))
        return F.relu(inner + _doubled(self.skip(x)))


class Decoder(nn.Module):
    """Vectors float ``(n, dim)`` to images float ``(n, channels, height, width)`` in [0, 1].

    A linear layer paints a small image of many channels; each upsampling residual block doubles its size; a 3x3
    convolution and a sigmoid end at the image, cut to the exact size. 28x28 grows as 7, 14, 28.
    """

    def __init__(self, shape: ImageShape, dim: int, width: int = 128) -> None:
        super().__init__()
        doublings = max(1, math.ceil(math.log2(max(shape.height, shape.width) / _SEED_SIZE)))
        self.shape = shape
        self.seed_shape = (width, -(-shape.height // 2**doublings), -(-shape.width // 2**doublings))
        self.seed = nn.Linear(dim, math.prod(self.seed_shape))
        widths = [max(16, width >> step) for step in range(doublings + 1)]
        self.blocks = nn.Sequential(*[UpsamplingBlock(a, b) for a, b in itertools.pairwise(widths)])
        self.paint = nn.Conv2d(widths[-1], shape.channels, 3, padding=1)

    def forward(self, vectors: Tensor) -> Tensor:
        small = F.relu(self.seed(vectors)).view(-1, *self.seed_shape).contiguous(memory_format=torch.channels_last)
        image: Tensor = torch.sigmoid(self.paint(self.blocks(small)).float())
        return image[:, :, : self.shape.height, : self.shape.width]


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


class RememberedVectors:
    """The frozen embedder's unit vectors of a split's rows, float32 ``(rows, dim)`` on the device.

    A batch with anything new in it is embedded whole, and what is known stays as it is: every image is always embedded
    in a batch of the same size, so that a resumed training, which remembers nothing, computes the same vectors.
    """

    def __init__(self, embedder: Embedder, rows: int, dim: int, device: torch.device) -> None:
        self._embedder = embedder
        self._vectors = torch.zeros(rows, dim, device=device)
        self._known = torch.zeros(rows, dtype=torch.bool, device=device)

    @torch.no_grad()
    def of(self, batch: Batch) -> Tensor:
        """Return the batch's vectors ``(n, dim)``; its pixels must be the images as they are, not augmented."""
        new = ~self._known[batch.rows]
        if bool(new.any()):
            fresh = self._embedder.embed(batch.pixels)
            self._vectors[batch.rows[new]] = fresh[new]
            self._known[batch.rows] = True
        return self._vectors[batch.rows]


@dataclass
class DecodingMethod(TrainedMethod[H]):
    """A trained method with the decoder: unit vectors back to images of the data set's own size."""

    @property
    def can_decode(self) -> bool:
        return self.decoder_trained

    def decode(self, vectors: Tensor) -> Tensor:
        image: Tensor = self.decoder(vectors)
        return image

    def modules(self) -> nn.ModuleDict:
        parts = super().modules()
        if self.decoder_trained:
            parts["decoder"] = self.decoder
        return parts

    def build(self, shape: ImageShape, classes: int, *, device: torch.device, weights: str, decoding: bool) -> None:
        super().build(shape, classes, device=device, weights=weights, decoding=decoding)
        self.decoder = Decoder(shape, self.embedding_dim).to(memory_format=torch.channels_last).to(device)
        self.decoder_trained = decoding

    @torch.no_grad()
    def validate_decoding(self, job: Job) -> dict[str, float]:
        """Return ``validate``'s numbers and those of the images decoded from the validation vectors.

        val_mse: mean squared error of pixels in [0, 1]; val_psnr: the same in dB; val_decode_cosine: between a vector
        and its decoded image's.
        """
        numbers = self.validate(job)
        if not numbers:
            return {}
        errors, cosines = [], []
        for pixels in in_chunks(job.validation, job.run.device):
            with mixed_precision(job.run.device, self.precision):
                vectors = self.embedder.embed(pixels)
                decoded = self.decoder(vectors)
                cosines.append((self.embedder.embed(decoded) * vectors).sum(dim=1))
            errors.append((decoded - pixels).square().mean(dim=(1, 2, 3)))
        error = torch.cat(errors).mean()
        return numbers | {
            "val_mse": float(error),
            "val_psnr": float(-10 * error.clamp_min(1e-10).log10()),
            "val_decode_cosine": float(torch.cat(cosines).mean()),
        }
