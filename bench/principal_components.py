"""Principal components: the directions in which vectors vary most, and how vectors are projected on them.

The one decomposition behind the method ``pca``, the features of ``pretrained``, the re-ranking stage ``whiten`` and
indexes of fewer dimensions. No label is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.contract import UsageError

# Variances below this share of the largest are rounding, not directions.
_RANK = {torch.float32: 1e-6, torch.float64: 1e-12}


@dataclass(frozen=True)
class PrincipalComponents:
    """``(x - mean) @ axes.T``: mean float32 ``(d,)``; axes float32 ``(k, d)``, or None for no rotation."""

    mean: Tensor
    axes: Tensor | None = None

    def __call__(self, vectors: Tensor) -> Tensor:
        """Return float ``(n, k)`` of ``(n, d)``; the mean vector itself becomes zeros."""
        centred = vectors - self.mean
        return centred if self.axes is None else centred @ self.axes.T

    def to(self, device: torch.device) -> PrincipalComponents:
        return PrincipalComponents(self.mean.to(device), None if self.axes is None else self.axes.to(device))

    def count_parameters(self) -> int:
        return self.mean.numel() + (0 if self.axes is None else self.axes.numel())

    def state(self) -> dict[str, Tensor]:
        return {"mean": self.mean} | ({} if self.axes is None else {"axes": self.axes})

    @classmethod
    def restored(cls, state: Mapping[str, Tensor]) -> PrincipalComponents:
        return cls(state["mean"], state.get("axes"))


def fit_components(
    vectors: Tensor, *, dims: int | None = None, whiten: bool = False, null: bool = False
) -> PrincipalComponents:
    """Return the principal components of float ``(n, d)``, computed in float64, the largest variance first.

    dims: how many to keep, by default all that the vectors span. whiten: give every component variance 1 (unbiased,
    over ``n - 1``), as Jegou & Chum (Negative evidences and co-occurrences in image retrieval, ECCV 2012) do. null:
    allow components in which the vectors do not vary. An axis points to where its largest coordinate is positive, as
    scikit-learn's do: of its two signs, the decomposition gives either.
    Raises UsageError for more ``dims`` than there are.
    """
    exact = vectors.cpu().double()  # in this order: Apple's GPUs have no float64
    mean = exact.mean(dim=0)
    columns, variances = principal_axes(exact - mean, dims or len(mean), null=null)
    if len(variances) < (dims or 1) or not (null or variances[0] > 0):
        raise UsageError(
            f"{dims or 1} principal components asked for, but the {len(exact)} vectors they are taken from span "
            f"{int((variances > 0).sum())} of {len(mean)} dimensions; ask for fewer, or take more vectors"
        )
    axes = columns.T
    axes = axes * axes.gather(1, axes.abs().argmax(dim=1, keepdim=True)).sign()
    if whiten:
        axes = axes / variances.sqrt()[:, None]
    return PrincipalComponents(mean.float(), axes.float())


def principal_axes(centred: Tensor, most: int, *, null: bool = False) -> tuple[Tensor, Tensor]:
    """Return the directions of largest variance of centred rows ``(n, d)``, at most ``most`` of them.

    Returns (orthonormal columns ``(d, k)``, their variances ``(k,)``, falling), in the rows' precision; k is no more
    than the rank and at least 1, and with ``null`` no more than d. The smaller of the two Gram matrices has the same
    eigenvalues: photographs have far more pixels than there are images.
    """
    n, d = centred.shape
    small = d <= n or null
    gram = centred.T @ centred if small else centred @ centred.T
    values, vectors = torch.linalg.eigh(gram.double())
    rank = len(values) if null else int((values > _RANK[centred.dtype] * values[-1]).sum())
    k = max(1, min(most, rank))
    values, vectors = values[-k:].flip(0).clamp_min(0.0), vectors[:, -k:].flip(1)
    axes = vectors.to(centred.dtype)
    if not small:
        axes = torch.nn.functional.normalize(centred.T @ axes, dim=0)  # of length 0 stays 0: images without variance
    return axes, (values / max(1, n - 1)).to(centred.dtype)
