"""Convolutional autoencoder: learns without labels what it takes to paint the image again.

Encoder and decoder are those of the other methods; the code is the unit vector itself, so that what is searched is
what is decoded. ``noise`` makes it denoising (Vincent et al., ICML 2008): noisy in, clean out. ``variational`` makes
it a variational one (Kingma & Welling, ICLR 2014): codes are drawn around the vector and kept near a standard normal
distribution, whose draws in 128 dimensions lie so close to a sphere that taking the direction alone loses little.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench import ImageShape, method, tunable
from bench.training.batches import Batch
from bench.training.decoder import DecodingMethod
from bench.training.phase import Group, Phase
from bench.training.trained import Job


@method
@dataclass
class Autoencoder(DecodingMethod[nn.Module]):
    """noise: standard deviation of what is added to pixels in [0, 1]; beta: weight of the variational form's prior."""

    noise: float = tunable(0.0, low=0.0, high=0.3)
    variational: bool = False
    beta: float = 1e-4  # against a mean squared error a pixel; 1 would be against a summed one

    uses_labels = False
    uses_pixels = True
    stage_name = "1-autoencoder"
    monitor = "val_psnr"

    def make_head(self, classes: int) -> nn.Module:
        """Return what tells the logarithm of a code's variance from its mean, for the variational form."""
        return nn.Linear(self.embedding_dim, self.embedding_dim) if self.variational else nn.Identity()

    def build(self, shape: ImageShape, classes: int, *, device: torch.device, weights: str, decoding: bool) -> None:
        super().build(shape, classes, device=device, weights=weights, decoding=True)

    def encoder_phase(self, job: Job, epochs: float) -> Phase:
        fresh = [*self.decoder.parameters(), *self.head.parameters()]
        return replace(
            super().encoder_phase(job, epochs),
            module=self.modules(),
            groups=[*self.encoder_groups(self.lr), Group(fresh, self.lr, self.weight_decay)],
            loss=self._reconstruction,
            validate=lambda: self.validate_decoding(job),
        )

    def _reconstruction(self, batch: Batch, share: float | Tensor) -> dict[str, Tensor]:
        seen = batch.pixels + self.noise * torch.randn_like(batch.pixels) if self.noise else batch.pixels
        mean = self.embedder(seen).float()
        if not self.variational:
            return {"loss": F.mse_loss(self.decoder(F.normalize(mean, dim=1)), batch.pixels)}
        log_variance = self.head(mean).float().clamp(-10.0, 10.0)
        code = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        mse = F.mse_loss(self.decoder(F.normalize(code, dim=1)), batch.pixels)
        prior = 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).sum(dim=1).mean()
        return {"loss": mse + self.beta * prior, "mse": mse, "prior": prior}
