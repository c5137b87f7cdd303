"""Features centred, rotated and rescaled by what the training images' features look like; no labels are used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.contract import UsageError

_RANK = 1e-6  # singular values below this share of the largest are rounding, not directions
_TRACE = 1e-6  # keeps the mean vector itself from having no direction; a feature of a unit vector is some 1e-2


@dataclass(frozen=True)
class Whitening:
    """``(x - mean) @ axes.T``: mean float32 ``(d,)``; axes float32 ``(k, d)``, or None for no rotation."""

    mean: Tensor
    axes: Tensor | None = None

    def __call__(self, vectors: Tensor) -> Tensor:
        """Return float ``(n, k)`` of ``(n, d)``; no row is all zero."""
        centred = vectors - self.mean
        return (centred if self.axes is None else centred @ self.axes.T) + _TRACE

    def to(self, device: torch.device) -> Whitening:
        return Whitening(self.mean.to(device), None if self.axes is None else self.axes.to(device))

    def count_parameters(self) -> int:
        return self.mean.numel() + (0 if self.axes is None else self.axes.numel())

    def state(self) -> dict[str, Tensor]:
        return {"mean": self.mean} | ({} if self.axes is None else {"axes": self.axes})

    @classmethod
    def restored(cls, state: Mapping[str, Tensor]) -> Whitening:
        return cls(state["mean"], state.get("axes"))


def fit_whitening(vectors: Tensor, *, dims: int | None = None, whiten: bool = False) -> Whitening:
    """Return the mean of vectors ``(n, d)`` and, if asked for, their principal axes.

    dims: how many principal components to keep, None for no rotation, or with ``whiten`` for all that the vectors span.
    whiten: give every component variance 1 (unbiased, over ``n - 1``), as Jegou & Chum (ECCV 2012) do for retrieval.
    An axis points to where its largest coordinate is positive, as scikit-learn's do: of its two signs, the
    decomposition gives either. Raises UsageError where the vectors do not span ``dims`` dimensions.
    """
    exact = vectors.cpu().double()  # in this order: Apple's GPUs have no float64
    mean = exact.mean(dim=0)
    if dims is None and not whiten:
        return Whitening(mean.float())
    _, spreads, axes = torch.linalg.svd(exact - mean, full_matrices=False)
    spanned = int((spreads > _RANK * spreads[0]).sum())
    if spanned < (dims or 1):
        raise UsageError(
            f"{dims or 1} principal components asked for, but the {len(vectors)} training images looked at span "
            f"{spanned} of {vectors.shape[1]} dimensions; ask for fewer, or look at more (-o sample)"
        )
    kept = slice(0, dims or spanned)
    axes = axes[kept]
    largest = axes.gather(1, axes.abs().argmax(dim=1, keepdim=True))
    axes = axes * largest.sign()
    if whiten:
        axes = axes * ((len(vectors) - 1) ** 0.5 / spreads[kept, None])
    return Whitening(mean.float(), axes.float())
