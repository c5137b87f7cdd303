"""The smooth maximum of a chosen few and zero, which multi-similarity and proxy-anchor are made of."""

from __future__ import annotations

import torch
from torch import Tensor


def log_one_plus_sum_exp(exponents: Tensor, chosen: Tensor, dim: int) -> Tensor:
    """Return log(1 + sum of exp(exponent)) along ``dim`` over the chosen ones; 0 where none is; exponents float, 2-d.

    Safe for exponents of any size: the 1 is the exponential of one more exponent, 0, in torch's own logsumexp.
    """
    zero = torch.zeros_like(exponents.narrow(dim, 0, 1))
    return torch.cat([exponents.masked_fill(~chosen, -torch.inf), zero], dim=dim).logsumexp(dim=dim)
