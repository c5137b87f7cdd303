"""Random partners of the same class and of other classes, drawn without a matrix of all pairs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


def uniform(count: int, device: torch.device, generator: torch.Generator | None) -> Tensor:
    """Return ``count`` numbers in [0, 1), float32 on the device.

    They are drawn where the generator is (on the CPU without one), so that a seed means the same on every device.
    """
    source = torch.device("cpu") if generator is None else generator.device
    return torch.rand(count, generator=generator, device=source).to(device)


@dataclass(frozen=True)
class Partners:
    """The rows sorted by class, so that a class is one stretch of them. All int64 ``(n,)``.

    order: the rows, sorted; place: where a row is in ``order``; first: where its class begins there; size: how many
    rows its class has.
    """

    order: Tensor
    place: Tensor
    first: Tensor
    size: Tensor

    @classmethod
    def of(cls, labels: Tensor) -> Partners:
        order = labels.argsort(stable=True)
        ordered = labels[order]
        first = torch.searchsorted(ordered, labels)
        return cls(order, order.argsort(), first, torch.searchsorted(ordered, labels, right=True) - first)

    @property
    def same(self) -> Tensor:
        """How many partners of its own class each row has."""
        return self.size - 1

    @property
    def other(self) -> Tensor:
        """How many partners of other classes each row has."""
        return len(self.size) - self.size

    def draw_same(self, rows: Tensor, generator: torch.Generator | None) -> Tensor:
        """Return for each of the rows ``(k,)`` another one of its class, each equally likely; it must have one."""
        spot = self.first[rows] + _below(self.same[rows], generator)
        return self.order[spot + (spot >= self.place[rows])]

    def draw_other(self, rows: Tensor, generator: torch.Generator | None) -> Tensor:
        """Return for each of the rows ``(k,)`` one of another class, each equally likely; there must be one."""
        spot = _below(self.other[rows], generator)
        return self.order[spot + torch.where(spot >= self.first[rows], self.size[rows], 0)]


def _below(limits: Tensor, generator: torch.Generator | None) -> Tensor:
    """Return for each limit ``(k,)`` an integer in [0, limit), each equally likely."""
    return (uniform(len(limits), limits.device, generator) * limits).long()
