"""A method's phases in their order: planned under one budget, trained one after another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.contract import RunContext, UsageError
from bench.training.batches import Batches
from bench.training.loop import run_phase, seconds_per_epoch
from bench.training.phase import Phase

_SAFETY = 0.9  # of the seconds asked for: a prediction from a few steps is that uncertain on a shared machine
_LEAST = 0.1  # of them, for the phases themselves, whatever was spent before
_PLAN = "plan"


def plan_epochs(
    defaults: Mapping[str, float], run: RunContext, measure: Callable[[], Mapping[str, float]]
) -> dict[str, float]:
    """Return the epochs of each phase by name: the defaults, or the same proportions stretched to the run's budget.

    measure: returns predicted seconds an epoch for each phase; called only for a budget in seconds, of which what the
    history has already (features of a frozen backbone) is spent. What it leads to is written down, so that a resumed
    run follows the same plan.
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
    spent = sum(float(row["seconds"]) for row in run.history.rows())
    left = max(run.budget.seconds - spent, _LEAST * run.budget.seconds)
    factor = _SAFETY * left / sum(epochs * cost[name] for name, epochs in defaults.items())
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


def run_stages(stages: Sequence[Stage], run: RunContext, *, owner: str) -> None:
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
