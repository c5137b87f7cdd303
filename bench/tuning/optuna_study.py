"""The trials of one method's tuning: what to try next is Optuna's choice, and what came of it outlives a kill.

Trials lie in an SQLite file because its transactions are whole or absent and its locks die with their process; a kill
can tear the last line of a journal, and leaves its lock behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.contract import SimbenchError
from bench.environment import require_package
from bench.options import Choice, Range

if TYPE_CHECKING:
    import optuna

_AT_RANDOM = 5  # trials, the defaults among them, before the estimator has enough to go by
_DIGITS = 3  # significant digits of a number tried: more cannot be told apart, and nobody wants to read them


@dataclass(frozen=True)
class Trial:
    """One finished trial: the values tried by option, the score and how long it took; problem: why it scored 0."""

    values: Mapping[str, Any]
    score: float
    seconds: float
    problem: str = ""


@dataclass(frozen=True)
class Asked:
    """A trial to be, as Optuna knows it, and the values to try by option."""

    trial: optuna.Trial
    values: Mapping[str, Any]


@dataclass
class Study:
    """The trials of one method in one file, one process at a time.

    What is asked depends on the seed and the finished trials only: a study that was killed resumes as one that was not.
    The first trial is the defaults. Raises SimbenchError for a file that cannot be read, UsageError without Optuna.
    """

    path: Path
    space: Mapping[str, Range | Choice]
    defaults: Mapping[str, Any]
    seed: int
    _study: optuna.Study = field(init=False, repr=False)

    def __post_init__(self) -> None:
        require_optuna()
        import optuna  # noqa: PLC0415 - an extra
        from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 - comes with Optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            storage = optuna.storages.RDBStorage(f"sqlite:///{self.path.resolve()}")
            self._study = optuna.create_study(
                storage=storage, study_name="tune", direction="maximize", load_if_exists=True
            )
            for killed in self._study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
                self._study.tell(killed.number, state=optuna.trial.TrialState.FAIL)
        except (SQLAlchemyError, optuna.exceptions.OptunaError) as error:
            first = str(error).splitlines()[0]
            raise SimbenchError(
                f"cannot read the trials in {self.path}: {first}; delete it to start their tuning again"
            ) from error

    def finished(self) -> list[Trial]:
        """Return the finished trials in their order; those that a kill cut off are none."""
        done = [one for one in self._study.get_trials(deepcopy=False) if one.state.name == "COMPLETE"]
        return [
            Trial(one.user_attrs["values"], float(one.value or 0), one.user_attrs["seconds"], one.user_attrs["problem"])
            for one in done
        ]

    def ask(self) -> Asked:
        """Return what to try next."""
        import optuna  # noqa: PLC0415 - an extra

        place = len(self.finished())
        # A fresh sampler a trial: one that lives on would, after a kill, begin its random numbers anew.
        seed = int(np.random.SeedSequence([self.seed, place]).generate_state(1)[0])
        self._study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=_AT_RANDOM)
        waiting = (optuna.trial.TrialState.WAITING,)
        if place == 0 and not self._study.get_trials(deepcopy=False, states=waiting):
            self._study.enqueue_trial(dict(self.defaults))
        trial = self._study.ask({name: _distribution(one) for name, one in self.space.items()})
        values = {name: _short(value, self.space[name]) for name, value in trial.params.items()}
        return Asked(trial, dict(self.defaults) if place == 0 else values)

    def tell(self, asked: Asked, score: float, seconds: float, problem: str = "") -> None:
        """Finish a trial: the score comes last and in one transaction, so that a trial with one has all the rest."""
        for name, value in {"values": dict(asked.values), "seconds": round(seconds, 3), "problem": problem}.items():
            asked.trial.set_user_attr(name, value)
        self._study.tell(asked.trial, score)


def require_optuna() -> None:
    """Raise UsageError, before anything is trained, where the package is missing."""
    require_package("optuna", "simbench tune", "optuna", "'simbench-retrieval[tune]'")


def _distribution(space: Range | Choice) -> optuna.distributions.BaseDistribution:
    from optuna.distributions import (  # noqa: PLC0415 - an extra
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if isinstance(space, Choice):
        return CategoricalDistribution(space.values)
    if space.whole:
        return IntDistribution(int(space.low), int(space.high), log=space.log)
    return FloatDistribution(space.low, space.high, log=space.log)


def _short(value: Any, space: Range | Choice) -> Any:
    """Return a number that was drawn with few digits, still in its range; anything else as it is."""
    if isinstance(space, Choice) or space.whole:
        return value
    return min(max(float(f"{value:.{_DIGITS}g}"), space.low), space.high)
