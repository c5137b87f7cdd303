"""How many epochs each phase of a method gets under the run's budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bench.contract import FitContext

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
