"""What a stretch of training is: its objective, its parameters, how they are optimised, and when it ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from bench.training.batches import Batch
from bench.training.precision import Precision
from bench.training.schedule import Schedule

Optimizer = Literal["adamw", "sgd"]

_MOMENTUM = 0.9


@dataclass(frozen=True)
class Group:
    """Parameters that share a peak learning rate and a weight decay.

    still: the share of the phase, from its beginning, in which they do not move (a pretrained backbone while its new
    head finds its place).
    """

    parameters: Sequence[nn.Parameter]
    rate: float
    decay: float = 0.0
    still: float = 0.0


@dataclass(frozen=True)
class Optimization:
    """How a phase is optimised.

    ``warmup_fraction`` of the steps raise the learning rate, ``schedule`` says how it goes on; ema_decay: of the moving
    average of the weights, 0 for none; grad_clip: largest norm of the gradient, 0 for any.
    """

    optimizer: Optimizer = "adamw"
    schedule: Schedule = "one_cycle"
    warmup_fraction: float = 0.25
    ema_decay: float = 0.998
    grad_clip: float = 5.0
    precision: Precision = "auto"

    def make_optimizer(self, groups: Sequence[Group], device: torch.device) -> torch.optim.Optimizer:
        """Return the optimiser over the groups, AdamW or SGD with Nesterov's momentum of 0.9, fused where it can be."""
        parameters = [{"params": list(g.parameters), "lr": g.rate, "weight_decay": g.decay} for g in groups]
        fused = device.type in ("cpu", "cuda")
        if self.optimizer == "sgd":
            return torch.optim.SGD(parameters, lr=1.0, momentum=_MOMENTUM, nesterov=True, fused=fused)
        return torch.optim.AdamW(parameters, fused=fused)


@dataclass(frozen=True)
class Phase:
    """One stretch of training with one objective.

    module: everything the objective touches; it is what a checkpoint holds. loss: from (batch, share of the phase done
    in [0, 1]) to named scalars, of which ``loss`` is minimised and the others are only recorded. validate:
    numbers by name, computed with the averaged weights; ``monitor`` names the one (higher is better) that picks the
    epoch to keep. The phase ends after ``epochs``, or at ``goal`` (a value of ``goal_of``), or after ``patience``
    epochs without a better one.
    """

    name: str
    epochs: float
    module: nn.Module
    groups: Sequence[Group]
    loss: Callable[[Batch, float], Mapping[str, Tensor]]
    validate: Callable[[], Mapping[str, float]]
    monitor: str
    goal_of: str = ""
    goal: float = math.inf
    patience: int = 5
    optimization: Optimization = field(default_factory=Optimization)
