"""An exponential moving average of weights: the one that is validated, kept and used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class AveragedWeights:
    """Follows a module's floating-point parameters and buffers (Polyak averaging with a warm-up: ``kept_share``)."""

    def __init__(self, module: nn.Module) -> None:
        self._live = floating_tensors(module)
        self.tensors = {name: tensor.detach().clone() for name, tensor in self._live.items()}

    @torch.no_grad()
    def update(self, keep: float | Tensor) -> None:
        """Move towards the weights as they are; keep: the share in [0, 1] of itself that stays, a number or 0-d.

        A tensor may change between the replays of a graph, a number may not; the two round differently in the last bit.
        """
        own, live = list(self.tensors.values()), list(self._live.values())
        if isinstance(keep, Tensor):
            way = torch._foreach_sub(live, own)
            torch._foreach_mul_(way, 1.0 - keep)
            torch._foreach_add_(own, way)
        else:
            torch._foreach_lerp_(own, live, 1.0 - keep)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within the context the module computes with the average instead of its own weights."""
        own = {name: tensor.detach().clone() for name, tensor in self._live.items()}
        copy_into(self._live, self.tensors)
        try:
            yield
        finally:
            copy_into(self._live, own)


def kept_share(step: int, decay: float) -> float:
    """Return what the average keeps of itself after a step, from 1 on: a short memory first, a long one later."""
    return min(decay, (1 + step) / (10 + step))


def floating_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return the module's floating-point parameters and buffers by name, live."""
    return {name: t for name, t in module.state_dict(keep_vars=True).items() if t.dtype.is_floating_point}


@torch.no_grad()
def copy_into(live: dict[str, Tensor], values: dict[str, Tensor]) -> None:
    """Overwrite live tensors with values of the same names."""
    for name, tensor in live.items():
        tensor.copy_(values[name])
