"""Vectors of a frozen embedder, computed when an image first comes up and kept."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from bench.training.batches import Batch
from bench.training.embedder import Embedder


class RememberedVectors:
    """The frozen embedder's unit vectors of a split's rows, float32 ``(rows, dim)`` on the device.

    A batch with anything new in it is embedded whole, and what is known stays as it is: every image is always embedded
    in a batch of the same size, so that a resumed training, which remembers nothing, computes the same vectors.
    """

    def __init__(self, embedder: Embedder, rows: int, dim: int, device: torch.device) -> None:
        self._embedder = embedder
        self._vectors = torch.zeros(rows, dim, device=device)
        self._known = np.zeros(rows, np.bool_)

    @torch.no_grad()
    def of(self, batch: Batch) -> Tensor:
        """Return the batch's vectors ``(n, dim)``; its pixels must be the images as they are, not augmented."""
        new = ~self._known[batch.rows]
        if new.any():
            fresh = self._embedder.embed(batch.pixels)
            self._vectors[batch.rows[new]] = fresh[torch.from_numpy(new).to(fresh.device)]
            self._known[batch.rows] = True
        return self._vectors[batch.rows]
