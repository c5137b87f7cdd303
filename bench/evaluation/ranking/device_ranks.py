"""The ranks of the relevant items of many queries, kept on a device: metrics of them are added up there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from bench.evaluation.ranking.arrays import Floats, Ints
from bench.evaluation.ranking.lists import offsets_of
from bench.evaluation.ranking.ranks import FromEnds, OnHost, Ranks


@dataclass(frozen=True)
class DeviceRanks(FromEnds):
    """What metrics ask of a ranking (``metrics.ranking.Order``), as ``Ranks`` answers it but for the last bits of sums.

    values: int64 ``(q, W)``, rising within a query; known: bool ``(q, W)``, the first R of each. relevant, items: R and
    N, int64 ``(q,)``. All relevant items are worth the same. Terms are float64 and added by torch, in its own order.
    """

    values: Tensor
    known: Tensor
    relevant: Ints
    items: Ints
    depth: None = None
    gains: None = None

    def __len__(self) -> int:
        return len(self.items)

    def on_host(self) -> Ranks:
        """Return the ranks one by one: what the expectation over ties is made of."""
        return Ranks(self.values[self.known].cpu().numpy(), offsets_of(self.relevant), self.items)

    def differs(self, other: OnHost) -> Floats:
        """Return 1 where a rank of the query is another than in the other order, else 0, float64 ``(q,)``."""
        if not isinstance(other, DeviceRanks):
            return self.on_host().differs(other)
        return _host(((self.values != other.values) & self.known).any(dim=1).double())

    @cached_property
    def sums(self) -> Floats:
        """See ``kernel.sum_ranks``, float64 ``(q, 4)``."""
        early = self.known & (self.values <= self._relevant)
        terms = (
            self._precision * self.known,
            self.values.double() * self.known,
            self._precision * early,
            early.double(),
        )
        return _host(torch.stack([term.sum(dim=1) for term in terms], dim=1))

    def hits(self, k: int) -> Floats:
        return _host(self._within(k).sum(dim=1).double())

    def any_hit(self, k: int) -> Floats:
        return _host(self._within(k).any(dim=1).double())

    def precisions(self, k: int) -> Floats:
        within = self._within(k)
        return _host((self._precision[:, : within.shape[1]] * within).sum(dim=1))

    def discounts(self, k: int) -> Floats:
        within = self._within(k)
        return _host((within / (self.values[:, : within.shape[1]].double() + 1.0).log2()).sum(dim=1))

    @property
    def trapezoids(self) -> Floats:
        rank = self.values.double()
        before = torch.where(self.values > 1, (self._position - 1) / (rank - 1).clamp_min(1), 1.0)
        return _host(((before + self._precision) / 2 * self.known).sum(dim=1))

    @property
    def last(self) -> Floats:
        """The rank of the last relevant item, float64 ``(q,)``; NaN where R = 0."""
        return self._at(self._relevant - 1)

    @property
    def first(self) -> Floats:
        return self._at(torch.zeros_like(self._relevant))

    def _at(self, place: Tensor) -> Floats:
        """Return the rank at a place, from 0, of each query's; int64 ``(q, 1)``; NaN where R = 0."""
        if not self.values.shape[1]:
            return np.full(len(self), np.nan)
        found = self.values.gather(1, place.clamp_min(0)).double()
        return _host(torch.where(self._relevant > 0, found, torch.nan).squeeze(1))

    def _within(self, k: int) -> Tensor:
        """Return which of a query's first k relevant items have a rank of k or less: bool ``(q, min(k, W))``."""
        return (self.values[:, :k] <= k) & self.known[:, :k]

    @cached_property
    def _relevant(self) -> Tensor:
        return self.known.sum(dim=1, keepdim=True)

    @cached_property
    def _position(self) -> Tensor:
        return torch.arange(1, self.values.shape[1] + 1, device=self.values.device, dtype=torch.float64)

    @cached_property
    def _precision(self) -> Tensor:
        return self._position / self.values.double()


def _host(values: Tensor) -> Floats:
    found: Floats = values.double().cpu().numpy()
    return found
