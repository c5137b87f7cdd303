"""Unit vectors of a batch, and the Euclidean distance of every two of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


def unit(vectors: Tensor) -> Tensor:
    """Return float vectors ``(n, d)`` scaled to length 1, float32."""
    return F.normalize(vectors.float(), dim=1)


@dataclass(frozen=True)
class PairDistances:
    """The distances of a batch; condensed: float32 ``(n * (n - 1) / 2,)``, by rows (0, 1), (0, 2), ...; n: images.

    Each distance is taken from differences, not from the product of the vectors, which is off by 3e-4 where two vectors
    are equal; of two equal vectors it is exactly 0 and so is its gradient (that of a square root there is infinite).
    """

    condensed: Tensor
    n: int

    @classmethod
    def of(cls, vectors: Tensor) -> PairDistances:
        """Return the distances of the unit vectors of float ``(n, d)``."""
        units = unit(vectors)
        if len(units) < 2:  # something to take a gradient of
            return cls(units.sum().reshape(1) * 0.0, len(units))
        # Apple's GPUs have no kernel for it; a batch is small enough to travel.
        near = units.cpu() if units.device.type == "mps" else units
        return cls(torch.pdist(near).to(units.device), len(units))

    def between(self, left: Tensor, right: Tensor) -> Tensor:
        """Return the distances of pairs of rows, float32; left, right: int64 of one shape; of equal rows any number."""
        low, high = torch.minimum(left, right), torch.maximum(left, right)
        places = low * (2 * self.n - low - 3) // 2 + high - 1
        return picked(self.condensed, places.clamp(0, len(self.condensed) - 1))

    def matrix(self) -> Tensor:
        """Return all distances without their gradient, float32 ``(n, n)``."""
        full = self.condensed.new_zeros(self.n, self.n)
        low, high = torch.triu_indices(self.n, self.n, 1, device=full.device)
        full[low, high] = full[high, low] = self.condensed.detach()
        return full


def picked(values: Tensor, places: Tensor) -> Tensor:
    """Return ``values[places]`` of float ``(n,)``, in the form whose gradient is fast, and on a GPU always the same."""
    if values.is_cuda:  # the gradient of index_select is summed in any order there, that of indexing is not
        return values[places]
    return values.index_select(0, places.reshape(-1)).view(places.shape)


def log_one_plus_sum_exp(exponents: Tensor, chosen: Tensor, dim: int) -> Tensor:
    """Return log(1 + sum of exp(exponent)) along ``dim`` over the chosen ones; 0 where none is; exponents float, 2-d.

    Safe for exponents of any size: the 1 is the exponential of one more exponent, 0, in torch's own logsumexp.
    """
    zero = torch.zeros_like(exponents.narrow(dim, 0, 1))
    return torch.cat([exponents.masked_fill(~chosen, -torch.inf), zero], dim=dim).logsumexp(dim=dim)
