"""A method that is a network as it is, and learns nothing."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from bench.contract import RunContext, Split


@dataclass
class Networked:
    """A network as a method."""

    module: nn.Module

    def fit(self, train: Split, validation: Split, run: RunContext) -> None:
        return None

    def embed(self, pixels: Tensor) -> Tensor:
        vectors: Tensor = self.module(pixels)
        return vectors

    def network(self) -> nn.Module:
        return self.module

    def count_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.module.parameters())
