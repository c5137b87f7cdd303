"""A method's phases in their order: planned under one budget, trained one after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.contract import FitContext, UsageError
from bench.training.batches import Batches
from bench.training.loop import run_phase, seconds_per_epoch
from bench.training.phase import Phase
from bench.training.plan import plan_epochs


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
