"""What the trained methods share that turn vectors back into images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.contract import ImageShape
from bench.training.batches import in_chunks
from bench.training.decoders import Decoder
from bench.training.precision import mixed_precision
from bench.training.trained import H, Job, TrainedMethod


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

    def build(
        self, shape: ImageShape, classes: int, *, mirror: bool, device: torch.device, weights: str, decoding: bool
    ) -> None:
        super().build(shape, classes, mirror=mirror, device=device, weights=weights, decoding=decoding)
        self.decoder = Decoder(shape, self.dim).to(memory_format=torch.channels_last).to(device)
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
        for pixels in in_chunks(job.validation, job.device):
            with mixed_precision(job.device, self.precision):
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
