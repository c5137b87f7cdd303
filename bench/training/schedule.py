"""The course of a training: rates over steps, epochs under a budget, phases one after another."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.contract import FitContext, UsageError
from bench.training.batches import Batches
from bench.training.loop import run_phase, seconds_per_epoch
from bench.training.phase import Phase

Schedule = Literal["one_cycle", "cosine", "plateau"]


def rate_factor(schedule: Schedule, share: float, warm_share: float) -> float:
    """Return the learning rate's factor in [0, 1] at a share of the phase.

    one_cycle: see there; cosine: a straight rise over ``warm_share``, then a cosine down to 0 (Loshchilov & Hutter
    2017); plateau: the same rise, then level: what lowers it is ``plateau_factor``, from validation.
    """
    if schedule == "one_cycle":
        return one_cycle(share, warm_share)
    if share < warm_share:
        return max(share, 1e-3 * warm_share) / warm_share
    return 1.0 if schedule == "plateau" else _fall(share, warm_share)


def one_cycle(share: float, warm_share: float) -> float:
    """Return the learning rate's factor in [0, 1] at a share of the phase: cosine up, then cosine down to 0.

    Smith & Topin 2019; it starts at 1/25 of the peak, as torch's OneCycleLR does.
    """
    if share < warm_share:
        return 1 / 25 + (1 - 1 / 25) * 0.5 * (1 - math.cos(math.pi * share / warm_share))
    return _fall(share, warm_share)


def plateau_factor(epochs_without_better: int, *, patience: int = 2, factor: float = 0.5) -> float:
    """Return what the rate is multiplied by after an epoch: ``factor`` once ``patience`` more brought nothing better.

    The seeds' ReduceLROnPlateau (patience 2, factor 0.5), as a pure function of the epochs since the best one.
    """
    due = epochs_without_better > 0 and epochs_without_better % (patience + 1) == 0
    return factor if due else 1.0


def _fall(share: float, warm_share: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * (share - warm_share) / (1 - warm_share)))


_SAFETY = 0.9  # of the seconds asked for: a prediction from a few steps is that uncertain on a shared machine
_PLAN = "plan"


def plan_epochs(
    defaults: Mapping[str, float], run: FitContext, measure: Callable[[], Mapping[str, float]]
) -> dict[str, float]:
    """Return the epochs of each phase by name: the defaults, or the same proportions stretched to the run's budget.

    measure: returns predicted seconds an epoch for each phase; called only for a budget in seconds. What it leads to is
    written down, so that a resumed run follows the same plan.
    """
    total = sum(defaults.values())
    if run.budget.epochs is not None:
        return {name: epochs * run.budget.epochs / total for name, epochs in defaults.items()}
    if run.budget.seconds is None:
        return dict(defaults)
    saved = run.checkpoints.load(_PLAN)
    if saved is not None:
        return dict(saved[1]["epochs"])
    cost = measure()
    factor = _SAFETY * run.budget.seconds / sum(epochs * cost[name] for name, epochs in defaults.items())
    plan = {name: epochs * factor for name, epochs in defaults.items()}
    run.checkpoints.save(_PLAN, {}, {"epochs": plan})
    run.log(
        f"budget {run.budget.seconds:g} s: " + ", ".join(f"{name} {epochs:.2f} epochs" for name, epochs in plan.items())
    )
    return plan


@dataclass(frozen=True)
class Stage:
    """One phase to be: its name, its default epochs, its batches, and how to make it once its turn has come.

    make: from epochs to the phase, over the modules as the stages before have left them.
    """

    name: str
    epochs: float
    batches: Batches
    make: Callable[[float], Phase]


def run_stages(stages: Sequence[Stage], run: FitContext, *, owner: str) -> None:
    """Train the stages that the budget asks for (all by default).

    Raises UsageError where ``--phases`` names one that is not there, or leaves out the first or one between.
    """
    numbers = tuple(range(1, len(stages) + 1))
    wanted = run.budget.phases or numbers
    if wanted != numbers[: len(wanted)]:
        given, there = ",".join(map(str, wanted)), ", ".join(map(str, numbers))
        raise UsageError(f"{owner} has phases {there}, in that order and from 1 on, got {given}")
    chosen = [stages[number - 1] for number in wanted]
    plan = plan_epochs(
        {stage.name: stage.epochs for stage in chosen},
        run,
        lambda: {stage.name: seconds_per_epoch(stage.make(1.0), stage.batches, run) for stage in chosen},
    )
    for stage in chosen:
        run_phase(stage.make(plan[stage.name]), stage.batches, run)
