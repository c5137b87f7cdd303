"""Fair tuning: every method gets the same number of trials of the same length, scored on the validation split alone.

The query and gallery parts are never embedded here: what tuning has seen of the test is nothing.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.config import Config, options_for
from bench.contract import DataError, Dataset, Method, RunSpec, SimbenchError, UsageError, Workplace
from bench.evaluation.evaluate import evaluate
from bench.evaluation.inference.embed import embed_images, with_views
from bench.options import Choice, Range, build, search_space, values_of
from bench.registry import get_method
from bench.runs.fitting import failure_reason, fit_method
from bench.runs.run_plan import as_in_run, sized_for, spec_of
from bench.runs.store import locked
from bench.tuning.optuna_study import Study, Trial

FAILED = 0.0  # the score of a trial that failed: map's worst, so that the search keeps away and the trial still counts


@dataclass(frozen=True)
class Tuning:
    """What is to be tuned: a specification with every option, those that are fixed, and where to search the rest."""

    spec: RunSpec
    fixed: Mapping[str, Any]
    space: Mapping[str, Range | Choice]
    trials: int
    seed: int

    @property
    def key(self) -> str:
        """Ten hex digits that change with anything that decides a trial's score; the number of trials does not."""
        facts = {"spec": asdict(self.spec), "seed": self.seed, "space": {n: asdict(s) for n, s in self.space.items()}}
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=list).encode()).hexdigest()[:10]

    @property
    def defaults(self) -> dict[str, Any]:
        return {name: self.spec.options[name] for name in self.space}


@dataclass(frozen=True)
class Tuned:
    """What came of it: the finished trials in their order, the defaults first."""

    plan: Tuning
    trials: tuple[Trial, ...]

    @property
    def default(self) -> Trial:
        return self.trials[0]

    @property
    def best(self) -> Trial:
        """The trial with the highest score; of equal ones the earliest, so that the defaults stay unless beaten."""
        return max(self.trials, key=lambda trial: trial.score)

    @property
    def options(self) -> dict[str, Any]:
        """The options to write down: those that were fixed, and the best values found."""
        return {**self.plan.fixed, **self.best.values}


def plan_tunings(
    methods: Sequence[str], dataset: Dataset, config: Config, words: Sequence[str], device: str, *, trials: int
) -> list[Tuning]:
    """Return one plan a method; options set by ``-o`` (words) or bench.toml are fixed, other tunable ones searched.

    Raises UsageError for a method with nothing to search, and for several methods without a common budget; DataError
    where the validation split cannot be ranked.
    """
    settings = config.settings
    if trials < 1:
        raise UsageError(f"trials must be 1 or more, got {trials}")
    if len(settings.seeds) != 1:
        raise UsageError(f"tuning takes one seed (--seed), got {len(settings.seeds)}")
    if len(methods) > 1 and settings.epochs is None and settings.budget is None:
        raise UsageError("several methods are tuned fairly under one budget: give --budget or --epochs")
    if len(dataset.validation) == 0 or np.bincount(dataset.validation.labels).max() < 2:
        raise DataError(f"{dataset.name}: its validation split has no two images of one class, so nothing to tune on")
    shares, plans = options_for(words, methods), []
    for name in methods:
        given = {**config.methods.get(name, {}), **shares[name]}
        method = build(get_method(name), given, owner=f"method {name}")
        options = values_of(method)
        fixed = {option: options[option] for option in (word.replace("-", "_") for word in given)}
        ranked = replace(settings, ks=(1,), engine="torch", deterministic=False)
        spec = spec_of(name, options, sized_for(method, dataset, settings), ranked, device)
        plans.append(Tuning(spec, fixed, _searched(name, fixed), trials, settings.seeds[0]))
    return plans


def tune(
    plan: Tuning, dataset: Dataset, place: Workplace, folder: Path, *, on_trial: Callable[[Tuned], None] | None = None
) -> Tuned:
    """Run the trials that are not finished yet and return all of them; killed at any moment, the next call resumes.

    folder: where studies lie; on_trial: is given, after every trial, what is known by then. A trial that fails scores 0
    with its reason. Raises UsageError where the defaults are refused, SimbenchError where every trial failed.
    """
    spec = plan.spec
    seen = as_in_run(dataset, spec)
    if seen is None:
        raise DataError(f"{dataset.name}: not the data that the tuning of {spec.method} was planned for")
    home = folder / spec.dataset / spec.protocol / spec.method / plan.key
    with locked(home):
        study = Study(home / "trials.db", plan.space, plan.defaults, plan.seed)
        found = Tuned(plan, tuple(study.finished()[: plan.trials]))
        if found.trials:
            place.log(f"{spec.method}: {len(found.trials)} of {plan.trials} trials were finished before ({home})")
        while len(found.trials) < plan.trials:
            asked = study.ask()
            began = time.perf_counter()
            score, problem = _tried(plan, asked.values, seen, place, home / "trial", first=not found.trials)
            study.tell(asked, score, time.perf_counter() - began, problem)
            found = Tuned(plan, tuple(study.finished()))
            place.log(_line(found))
            if on_trial is not None:
                on_trial(found)
    if all(trial.problem for trial in found.trials):
        raise SimbenchError(f"{spec.method}: every trial failed, the first with: {found.default.problem}")
    return found


def validation_map(method: Method, dataset: Dataset, spec: RunSpec, seed: int, place: Workplace) -> float:
    """Return the leave-one-out ``map`` of a fitted method on the whole validation split, as a run would score it."""
    seen = dataset.validation
    embedder = with_views(method, mirror_test=spec.mirror_test)
    vectors = embed_images(embedder, seen.images, device=place.device, progress=place.progress)
    evaluation = evaluate(
        vectors,
        seen.labels,
        vectors,
        seen.labels,
        query_ids=seen.ids,
        gallery_ids=seen.ids,
        ks=spec.ks,
        normalize=False,  # they are unit vectors already
        ties=spec.ties,
        threads=place.threads,
        seed=seed,
    )
    return evaluation.scores["map"]


def _searched(name: str, fixed: Mapping[str, Any]) -> dict[str, Range | Choice]:
    declared = search_space(get_method(name))
    if not declared:
        raise UsageError(f"method {name} has no tunable option: nothing to tune")
    left = {option: space for option, space in declared.items() if option not in fixed}
    if not left:
        raise UsageError(f"method {name}: -o or bench.toml sets every tunable option ({', '.join(declared)})")
    return left


def _tried(
    plan: Tuning, values: Mapping[str, Any], dataset: Dataset, place: Workplace, folder: Path, *, first: bool
) -> tuple[float, str]:
    """Return (score, problem) of one trial; ``folder`` holds its checkpoints meanwhile, and is gone afterwards."""
    spec = replace(plan.spec, options={**plan.spec.options, **values})
    quiet = replace(place, log=lambda line: None, tensorboard=False)  # one line a trial, not one an epoch
    shutil.rmtree(folder, ignore_errors=True)
    try:
        method, _ = fit_method(spec, plan.seed, dataset, quiet, folder)
        return validation_map(method, dataset, spec, plan.seed, quiet), ""
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a method of somebody else's may raise anything, SystemExit too
        if first and isinstance(error, UsageError):  # not the search's doing but the user's
            raise
        if place.debug and not isinstance(error, SimbenchError):
            raise
        return FAILED, failure_reason(error, spec)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _line(found: Tuned) -> str:
    last = found.trials[-1]
    values = " ".join(f"{name}={value}" for name, value in last.values.items())
    result = f"failed: {last.problem}" if last.problem else f"map {last.score:.4f}"
    return (
        f"{found.plan.spec.method} trial {len(found.trials)} of {found.plan.trials}: {result}, {last.seconds:.0f} s, "
        f"{values} (best {found.best.score:.4f}, defaults {found.default.score:.4f})"
    )
