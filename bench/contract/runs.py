"""What decides a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.contract.fitting import Budget


@dataclass(frozen=True)
class RunSpec:
    """Everything that decides what a run computes, its seed apart.

    fingerprint: of the data, whatever loader and options it came through; options: every field of the method, defaults
    included, so that a changed default is a different run; data: what was chosen of the data other than by default, by
    name, which the fingerprint holds too; engine: what computes the vectors, once the method is fitted.
    """

    dataset: str
    protocol: str
    method: str
    fingerprint: str
    options: Mapping[str, Any] = field(default_factory=dict)
    budget: Budget = field(default_factory=Budget)
    device: str = "cpu"
    ks: tuple[int, ...] = (1, 10, 50)
    ties: str = "pessimistic"
    data: Mapping[str, Any] = field(default_factory=dict)
    engine: str = "torch"
