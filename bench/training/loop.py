"""The one training loop: a phase of steps with validation, a stopping rule, and a checkpoint after every epoch.

A phase that was killed goes on from its last checkpoint and ends with the same weights as one that was not: batches
depend on (seed, epoch) only, torch's own generator is seeded anew at every epoch, and the checkpoint holds the rest.
A phase whose loss stops being a number, or whose vectors all become one, starts again once at a lower rate, and says
so.
"""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

import torch
from torch import Tensor

from bench.contract import MethodError, RunContext
from bench.training.average import copy_into, floating_tensors, kept_share
from bench.training.batches import Batches
from bench.training.checkpoints import pack_optimizer, unpack_optimizer
from bench.training.phase import Phase, plateau_factor, rate_factor
from bench.training.steps import Setting, steps_of

_LOOK_EVERY = 50  # steps between looks at the loss; on a GPU, which they keep waiting, one at the end of an epoch
_RETRY_RATE = 0.3  # of the learning rate, for the one retry after a phase went wrong
_COLLAPSED = 0.999  # mean cosine of pairs of validation vectors; docs/reference/metrics.md has the same limit


class DivergenceError(MethodError):
    """A phase went wrong in a way that a lower learning rate may mend."""


@dataclass
class _PhaseState:
    """Where a phase stands: what a checkpoint records beside the tensors."""

    step: int = 0
    epoch: int = 0
    best: float = -math.inf
    best_epoch: int = 0
    done: bool = False
    seconds: float = 0.0
    cpu_seconds: float = 0.0  # of all threads of this process
    slowed: float = 1.0  # what the retry multiplies the rate by
    level: float = 1.0  # what the plateau schedule has brought the rate down to
    kept: dict[str, Tensor] = field(default_factory=dict)


def run_phase(phase: Phase, batches: Batches, run: RunContext) -> None:
    """Train a phase, or what is left of it, and leave its best averaged weights in ``phase.module``.

    Raises MethodError if the loss stops being a number a second time.
    """
    trainer = _Trainer(phase, batches, run)
    trainer.resume()
    while not trainer.at.done:
        try:
            trainer.epoch()
        except DivergenceError as trouble:
            trainer.restart(trouble)
    copy_into(floating_tensors(phase.module), trainer.at.kept)
    phase.module.eval()


def seconds_per_epoch(phase: Phase, batches: Batches, run: RunContext, *, warm_up: int = 3, timed: int = 8) -> float:
    """Return a prediction of a phase's wall seconds an epoch, validation included; the module is left as it was."""
    before = {name: tensor.detach().clone() for name, tensor in phase.module.state_dict().items()}
    trainer = _Trainer(phase, batches, run)
    phase.module.train()
    times = []
    settings = [trainer.setting(step=1, share=0.5)] * (warm_up + timed)
    trainer.steps.begin(settings)
    started = time.perf_counter()
    for batch, setting in zip(batches.epoch(0), settings, strict=False):
        trainer.steps.take(batch, setting)
        trainer.finish()
        times.append(time.perf_counter() - started)
        started = time.perf_counter()
    phase.module.eval()  # as it is validated, and so that nothing of the validation images stays in it
    phase.validate()
    validation = time.perf_counter() - started
    phase.module.load_state_dict(before)
    return statistics.median(times[warm_up:] or times) * batches.per_epoch + validation


class _Trainer:
    """A phase under way: the module, its optimizer and average, and where it stands."""

    def __init__(self, phase: Phase, batches: Batches, run: RunContext) -> None:
        self.phase, self.batches, self.run = phase, batches, run
        self.start = {name: tensor.detach().clone() for name, tensor in phase.module.state_dict().items()}
        self._begin(_PhaseState())
        self.planned = max(1, round(phase.epochs * batches.per_epoch))

    def _begin(self, at: _PhaseState) -> None:
        self.at = at
        self.steps = steps_of(self.phase, self.run.device)

    def restart(self, trouble: DivergenceError) -> None:
        """Go back to the phase's beginning at a lower rate, and put that on record; raise if that was done before."""
        before = self.at
        if before.slowed < 1.0:
            raise MethodError(f"{trouble}, again after a restart at {before.slowed:g} of the rate; give a lower --lr")
        self.phase.module.load_state_dict(self.start)
        self._begin(_PhaseState(slowed=_RETRY_RATE, seconds=before.seconds, cpu_seconds=before.cpu_seconds))
        event = f"phase {self.phase.name} restarted at {_RETRY_RATE:g} of its learning rate: {trouble}"
        self.run.history.add({**self._place(), "event": event})
        self.run.log(event)
        self._save()

    def epoch(self) -> None:
        """Train one epoch (or what is left of the phase), validate, decide, record, save."""
        at, phase = self.at, self.phase
        started, worked = time.perf_counter(), time.process_time()
        numbers = self._train_epoch()
        with self.steps.average.in_place():
            phase.module.eval()
            numbers |= phase.validate()
        at.epoch += 1
        at.seconds += time.perf_counter() - started
        at.cpu_seconds += time.process_time() - worked
        self._refuse_collapse(numbers)
        score = numbers.get(phase.monitor, math.nan)
        if math.isnan(score):  # no validation split, or too small for a number: the latest epoch is the best
            score = float(at.epoch)
        if score > at.best:
            at.best, at.best_epoch = score, at.epoch
            at.kept = {name: tensor.clone() for name, tensor in self.steps.average.tensors.items()}
        if phase.optimization.schedule == "plateau":
            at.level *= plateau_factor(at.epoch - at.best_epoch)
        reached = numbers.get(phase.goal_of, -math.inf) >= phase.goal
        at.done = at.step >= self.planned or reached or at.epoch - at.best_epoch >= phase.patience
        self.run.history.add({**self._place(), **numbers})
        self._save()
        shown = ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())
        self.run.log(f"{phase.name}: epoch {at.epoch} of {math.ceil(phase.epochs)}, {at.seconds:.0f} s: {shown}")

    def setting(self, *, step: int, share: float) -> Setting:
        """Return what the step of a number, from 1 on, is taken with. share: of the phase that is done before it."""
        return Setting(share, kept_share(step, self.phase.optimization.ema_decay), self._rates(share))

    def finish(self) -> None:
        """Wait for what a GPU was asked to do."""
        if self.run.device.type == "cuda":
            torch.cuda.synchronize(self.run.device)

    def resume(self) -> None:
        """Go back to the phase's last checkpoint, if it has one."""
        saved = self.run.checkpoints.load(self.phase.name)
        if saved is None:
            return
        tensors, facts = saved
        if facts.pop("steps", self.planned) != self.planned:  # the plan was lost and made anew
            self.run.log(f"{self.phase.name}: its checkpoint is of another plan; trained from the start")
            return
        self.run.history.replace(facts.pop("history"))
        scaler = facts.pop("scaler")
        self.at = at = _PhaseState(**facts, kept=_under(tensors, "kept."))
        if not at.done:
            self.phase.module.load_state_dict(_under(tensors, "module."))
            copy_into(self.steps.average.tensors, _under(tensors, "average."))
            unpack_optimizer(self.steps.optimizer, _under(tensors, "optimizer."))
            self.steps.scaler.load_state_dict(scaler)
        self.run.log(f"{self.phase.name}: {'finished earlier' if at.done else f'resuming after epoch {at.epoch}'}")

    def _place(self) -> dict[str, float | int | str]:
        at = self.at
        times = {"seconds": round(at.seconds, 3), "cpu_seconds": round(at.cpu_seconds, 3)}
        return {"phase": self.phase.name, "epoch": at.epoch, "step": at.step, **times}

    def _train_epoch(self) -> dict[str, float]:
        at, todo = self.at, min(self.batches.per_epoch, self.planned - self.at.step)
        torch.manual_seed(self.batches.seed + 1_000_003 * (at.epoch + 1))
        self.phase.module.train()
        settings = [self.setting(step=step + 1, share=step / self.planned) for step in range(at.step, at.step + todo)]
        self.steps.begin(settings)
        supply = itertools.islice(self.batches.epoch(at.epoch), todo)
        shown = self.run.progress(supply, total=todo, what=f"{self.phase.name} epoch {at.epoch + 1}")
        look_every = todo if self.run.device.type == "cuda" else _LOOK_EVERY
        for count, (batch, setting) in enumerate(zip(shown, settings, strict=True), start=1):
            self.steps.take(batch, setting)
            at.step += 1
            if count % look_every == 0 or count == todo:
                self._refuse_divergence(self.steps.sums["loss"])
        self._tell_if_eager()
        return {f"train_{name}": float(total) / todo for name, total in self.steps.sums.items()}

    def _rates(self, share: float) -> tuple[float, ...]:
        at, how, rates = self.at, self.phase.optimization, []
        for group in self.phase.groups:
            moving = (share - group.still) / (1 - group.still) if group.still < 1 else -1.0
            factor = rate_factor(how.schedule, moving, how.warmup_fraction) if moving >= 0 else 0.0
            rates.append(group.rate * at.slowed * at.level * factor)
        return tuple(rates)

    def _tell_if_eager(self) -> None:
        """Put on record, once a phase, that a GPU's steps could not be captured: its times then say less."""
        if not self.steps.eager_because:
            return
        event = f"phase {self.phase.name} took its steps one by one: {self.steps.eager_because}"
        if all(row.get("event") != event for row in self.run.history.rows()):
            self.run.history.add({**self._place(), "event": event})
            self.run.log(event)

    def _refuse_divergence(self, total: Tensor) -> None:
        if not math.isfinite(float(total)):
            where = f"phase {self.phase.name}, step {self.at.step}"
            raise DivergenceError(f"training diverged: the loss is {float(total)} in {where}")

    def _refuse_collapse(self, numbers: Mapping[str, float]) -> None:
        # A second collapse is not an error: the run's own flags say what became of it.
        cosine = numbers.get("val_mean_cosine", 0.0)
        if cosine > _COLLAPSED and self.at.slowed == 1.0:
            raise DivergenceError(f"all vectors became one (mean cosine {cosine:.4f}) in epoch {self.at.epoch}")

    def _save(self) -> None:
        at = self.at
        tensors = {f"kept.{name}": tensor for name, tensor in at.kept.items()}
        if not at.done:
            tensors |= {f"module.{name}": tensor for name, tensor in self.phase.module.state_dict().items()}
            tensors |= {f"average.{name}": tensor for name, tensor in self.steps.average.tensors.items()}
            tensors |= {f"optimizer.{name}": tensor for name, tensor in pack_optimizer(self.steps.optimizer).items()}
        facts = {one.name: getattr(at, one.name) for one in fields(at) if one.name != "kept"}
        facts |= {"scaler": self.steps.scaler.state_dict(), "history": list(self.run.history.rows())}
        facts["steps"] = self.planned
        self.run.checkpoints.save(self.phase.name, tensors, facts)


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
