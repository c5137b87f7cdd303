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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields

import torch
from torch import Tensor, nn

from bench.contract import MethodError, RunContext
from bench.training.batches import Batch, Batches
from bench.training.checkpoints import pack_optimizer, unpack_optimizer
from bench.training.phase import Phase, plateau_factor, rate_factor
from bench.training.precision import mixed_precision, number_type

_LOOK_EVERY = 50  # steps between looks at the loss, so that a GPU is not made to wait for its own numbers
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
    started = time.perf_counter()
    for batch in itertools.islice(batches.epoch(0), warm_up + timed):
        trainer.step(batch, 0.5)
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
        half = number_type(phase.optimization.precision, run.device) == torch.float16
        self.scaler = torch.amp.GradScaler(run.device.type, enabled=half)
        self._begin(_PhaseState())
        self.steps = max(1, round(phase.epochs * batches.per_epoch))

    def _begin(self, at: _PhaseState) -> None:
        self.at = at
        self.average = AveragedWeights(self.phase.module, self.phase.optimization.ema_decay)
        self.optimizer = self.phase.optimization.make_optimizer(self.phase.groups, self.run.device)

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
        with self.average.in_place():
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
            at.kept = {name: tensor.clone() for name, tensor in self.average.tensors.items()}
        if phase.optimization.schedule == "plateau":
            at.level *= plateau_factor(at.epoch - at.best_epoch)
        reached = numbers.get(phase.goal_of, -math.inf) >= phase.goal
        at.done = at.step >= self.steps or reached or at.epoch - at.best_epoch >= phase.patience
        self.run.history.add({**self._place(), **numbers})
        self._save()
        shown = ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())
        self.run.log(f"{phase.name}: epoch {at.epoch} of {math.ceil(phase.epochs)}, {at.seconds:.0f} s: {shown}")

    def step(self, batch: Batch, share: float) -> dict[str, Tensor]:
        """Take one optimiser step and return the recorded losses, detached."""
        how = self.phase.optimization
        with mixed_precision(self.run.device, how.precision):
            losses = self.phase.loss(batch, share)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(losses["loss"]).backward()  # type: ignore[no-untyped-call]  # torch does not type backward
        if how.grad_clip:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_([p for g in self.phase.groups for p in g.parameters], how.grad_clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return {name: value.detach() for name, value in losses.items()}

    def resume(self) -> None:
        """Go back to the phase's last checkpoint, if it has one."""
        saved = self.run.checkpoints.load(self.phase.name)
        if saved is None:
            return
        tensors, facts = saved
        if facts.pop("steps", self.steps) != self.steps:  # the plan was lost and made anew
            self.run.log(f"{self.phase.name}: its checkpoint is of another plan; trained from the start")
            return
        self.run.history.replace(facts.pop("history"))
        scaler = facts.pop("scaler")
        self.at = at = _PhaseState(**facts, kept=_under(tensors, "kept."))
        if not at.done:
            self.phase.module.load_state_dict(_under(tensors, "module."))
            copy_into(self.average.tensors, _under(tensors, "average."))
            unpack_optimizer(self.optimizer, _under(tensors, "optimizer."))
            self.scaler.load_state_dict(scaler)
        self.run.log(f"{self.phase.name}: {'finished earlier' if at.done else f'resuming after epoch {at.epoch}'}")

    def _place(self) -> dict[str, float | int | str]:
        at = self.at
        times = {"seconds": round(at.seconds, 3), "cpu_seconds": round(at.cpu_seconds, 3)}
        return {"phase": self.phase.name, "epoch": at.epoch, "step": at.step, **times}

    def _train_epoch(self) -> dict[str, float]:
        at, todo = self.at, min(self.batches.per_epoch, self.steps - self.at.step)
        torch.manual_seed(self.batches.seed + 1_000_003 * (at.epoch + 1))
        self.phase.module.train()
        sums: dict[str, Tensor] = {}
        supply = itertools.islice(self.batches.epoch(at.epoch), todo)
        for count, batch in enumerate(
            self.run.progress(supply, total=todo, what=f"{self.phase.name} epoch {at.epoch + 1}"), start=1
        ):
            share = at.step / self.steps
            self._set_rates(share)
            losses = self.step(batch, share)
            at.step += 1
            self.average.update(at.step)
            sums = {name: value + sums[name] if sums else value for name, value in losses.items()}
            if count % _LOOK_EVERY == 0 or count == todo:
                self._refuse_divergence(sums["loss"])
        return {f"train_{name}": float(total) / todo for name, total in sums.items()}

    def _set_rates(self, share: float) -> None:
        at, how = self.at, self.phase.optimization
        for group, declared in zip(self.optimizer.param_groups, self.phase.groups, strict=True):
            moving = (share - declared.still) / (1 - declared.still) if declared.still < 1 else -1.0
            factor = rate_factor(how.schedule, moving, how.warmup_fraction) if moving >= 0 else 0.0
            group["lr"] = declared.rate * at.slowed * at.level * factor

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
            tensors |= {f"average.{name}": tensor for name, tensor in self.average.tensors.items()}
            tensors |= {f"optimizer.{name}": tensor for name, tensor in pack_optimizer(self.optimizer).items()}
        facts = {one.name: getattr(at, one.name) for one in fields(at) if one.name != "kept"}
        facts |= {"scaler": self.scaler.state_dict(), "history": list(self.run.history.rows())}
        facts["steps"] = self.steps
        self.run.checkpoints.save(self.phase.name, tensors, facts)


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


class AveragedWeights:
    """An exponential moving average of weights: the one that is validated, kept and used.

    Follows a module's floating-point parameters and buffers (Polyak averaging with a warm-up).

    After step k the average keeps ``min(decay, (1 + k) / (10 + k))`` of itself: short memory first, long memory later.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._live = floating_tensors(module)
        self.tensors = {name: tensor.detach().clone() for name, tensor in self._live.items()}
        self._decay = decay

    @torch.no_grad()
    def update(self, step: int) -> None:
        keep = min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.tensors.values()), list(self._live.values()), 1.0 - keep)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within the context the module computes with the average instead of its own weights."""
        own = {name: tensor.detach().clone() for name, tensor in self._live.items()}
        copy_into(self._live, self.tensors)
        try:
            yield
        finally:
            copy_into(self._live, own)


def floating_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return the module's floating-point parameters and buffers by name, live."""
    return {name: t for name, t in module.state_dict(keep_vars=True).items() if t.dtype.is_floating_point}


@torch.no_grad()
def copy_into(live: dict[str, Tensor], values: dict[str, Tensor]) -> None:
    """Overwrite live tensors with values of the same names."""
    for name, tensor in live.items():
        tensor.copy_(values[name])
