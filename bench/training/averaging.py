"""An exponential moving average of weights: the one that is validated, kept and used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class AveragedWeights:
    """Follows a module's floating-point parameters and buffers (Polyak averaging with a warm-up).

    After step k the average keeps ``min(decay, (1 + k) / (10 + k))`` of itself: short memory first, long memory later.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._live = floating_tensors(module)
        self._average = {name: tensor.detach().clone() for name, tensor in self._live.items()}
        self._decay = decay

    @torch.no_grad()
    def update(self, step: int) -> None:
        keep = min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self._average.values()), list(self._live.values()), 1.0 - keep)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within the context the module computes with the average instead of its own weights."""
        own = {name: tensor.detach().clone() for name, tensor in self._live.items()}
        copy_into(self._live, self._average)
        try:
            yield
        finally:
            copy_into(self._live, own)

    def tensors(self) -> dict[str, Tensor]:
        return self._average


def floating_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return the module's floating-point parameters and buffers by name, live."""
    return {name: t for name, t in module.state_dict(keep_vars=True).items() if t.dtype.is_floating_point}


@torch.no_grad()
def copy_into(live: dict[str, Tensor], values: dict[str, Tensor]) -> None:
    """Overwrite live tensors with values of the same names."""
    for name, tensor in live.items():
        tensor.copy_(values[name])
