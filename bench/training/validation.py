"""What an epoch is chosen by: numbers of the validation images' unit vectors."""

from __future__ import annotations

import torch
from torch import Tensor

_RANKED = 2_000  # validation images whose leave-one-out ranking is scored: an epoch's choice, not a result


@torch.no_grad()
def retrieval_map(vectors: Tensor, labels: Tensor) -> float:
    """Return the leave-one-out ``map`` over 2,000 evenly spaced unit vectors ``(n, d)``; NaN if no label comes twice.

    The harness's definition on well-separated scores; ties fall as the sort leaves them.
    """
    if len(labels) > _RANKED:
        rows = torch.linspace(0, len(labels) - 1, _RANKED, device=labels.device).long()
        vectors, labels = vectors[rows], labels[rows]
    similarity = vectors @ vectors.T
    similarity.fill_diagonal_(-torch.inf)
    order = similarity.argsort(dim=1, descending=True)[:, :-1]
    relevant = (labels[order] == labels[:, None]).float()
    ranks = torch.arange(1, relevant.shape[1] + 1, device=vectors.device)
    precision = relevant.cumsum(dim=1) / ranks
    total = relevant.sum(dim=1)
    known = total > 0
    return float(((precision * relevant).sum(dim=1)[known] / total[known]).mean())


@torch.no_grad()
def mean_cosine(vectors: Tensor) -> float:
    """Return the mean cosine over all pairs of different rows of unit vectors ``(n, d)``; NaN for a single row.

    The squared length of the sum holds every pair twice and every row with itself once. It is summed on the processor:
    Apple's GPUs have no float64.
    """
    n = len(vectors)
    total = vectors.cpu().double().sum(dim=0).square().sum()
    return float((total - n) / (n * (n - 1))) if n > 1 else float("nan")
