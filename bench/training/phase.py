"""What a stretch of training is: its objective, its parameters, how they are optimised, and when it ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from bench.training.batches import Batch
from bench.training.precision import Precision

Optimizer = Literal["adamw", "sgd"]
Schedule = Literal["one_cycle", "cosine", "plateau"]  # of the learning rate over a phase's steps

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
        fused, on_gpu = device.type in ("cpu", "cuda"), device.type == "cuda"
        if self.optimizer == "sgd":
            return torch.optim.SGD(parameters, lr=1.0, momentum=_MOMENTUM, nesterov=True, fused=fused)
        return torch.optim.AdamW(parameters, fused=fused, capturable=on_gpu)


def _nothing_to_decide(share: float) -> Hashable:
    return None


@dataclass(frozen=True)
class Phase:
    """One stretch of training with one objective.

    module: everything the objective touches; it is what a checkpoint holds. loss: from (batch, share of the phase done
    in [0, 1]) to named scalars, of which ``loss`` is minimised and the others are only recorded; on a GPU the share is
    a tensor, 0-d, for a step is captured once and replayed. prepare: called before each step with the share as a
    number, for what is decided on the host; steps of which it says the same are alike. validate:
    numbers by name, computed with the averaged weights; ``monitor`` names the one (higher is better) that picks the
    epoch to keep. The phase ends after ``epochs``, or at ``goal`` (a value of ``goal_of``), or after ``patience``
    epochs without a better one.
    """

    name: str
    epochs: float
    module: nn.Module
    groups: Sequence[Group]
    loss: Callable[[Batch, float | Tensor], Mapping[str, Tensor]]
    validate: Callable[[], Mapping[str, float]]
    monitor: str
    goal_of: str = ""
    goal: float = math.inf
    patience: int = 5
    prepare: Callable[[float], Hashable] = _nothing_to_decide
    optimization: Optimization = field(default_factory=Optimization)


def rate_factor(schedule: Schedule, share: float, warmup_fraction: float) -> float:
    """Return the learning rate's factor in [0, 1] at a share of the phase.

    one_cycle: a cosine up over ``warmup_fraction``, from 1/25 of the peak as torch's OneCycleLR does, then a cosine
    down to 0 (Smith & Topin 2019); cosine: a straight rise, then the same fall (Loshchilov & Hutter 2017); plateau: the
    straight rise, then level: what lowers it is ``plateau_factor``, from validation.
    """
    if share < warmup_fraction:
        if schedule == "one_cycle":
            return 1 / 25 + (1 - 1 / 25) * 0.5 * (1 - math.cos(math.pi * share / warmup_fraction))
        return max(share, 1e-3 * warmup_fraction) / warmup_fraction
    return (
        1.0
        if schedule == "plateau"
        else 0.5 * (1 + math.cos(math.pi * (share - warmup_fraction) / (1 - warmup_fraction)))
    )


def plateau_factor(epochs_without_better: int, *, patience: int = 2, factor: float = 0.5) -> float:
    """Return what the rate is multiplied by after an epoch: ``factor`` once ``patience`` more brought nothing better.

    The seeds' ReduceLROnPlateau (patience 2, factor 0.5), as a pure function of the epochs since the best one.
    """
    due = epochs_without_better > 0 and epochs_without_better % (patience + 1) == 0
    return factor if due else 1.0
