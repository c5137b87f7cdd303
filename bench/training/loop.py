"""The one training loop: a phase of steps with validation, a stopping rule, and a checkpoint after every epoch.

A phase that was killed goes on from its last checkpoint and ends with the same weights as one that was not: batches
depend on (seed, epoch) only, torch's own generator is seeded anew at every epoch, and the checkpoint holds the rest.
"""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from bench.contract import FitContext, MethodError
from bench.training.averaging import AveragedWeights, copy_into, floating_tensors
from bench.training.batches import Batch, Batches
from bench.training.checkpoints import pack_optimizer, unpack_optimizer
from bench.training.precision import mixed_precision
from bench.training.schedule import one_cycle

_LOOK_EVERY = 50  # steps between looks at the loss, so that a GPU is not made to wait for its own numbers


@dataclass(frozen=True)
class Group:
    """Parameters that share a peak learning rate and a weight decay."""

    parameters: Sequence[nn.Parameter]
    rate: float
    decay: float = 0.0


@dataclass(frozen=True)
class Phase:
    """One stretch of training with one objective.

    module: everything the objective touches; it is what a checkpoint holds. loss: from (batch, share of the phase done
    in [0, 1]) to named scalars, of which ``loss`` is minimised and the others are only recorded. validate:
    numbers by name, computed with the averaged weights; ``better`` names the one (higher is better) that picks the
    epoch to keep. The phase ends after ``epochs``, or at ``goal`` (a value of ``goal_of``), or after ``patience``
    epochs without a better one. ``warm_share`` of the steps raise the learning rate, the rest let it fall along a
    cosine to zero.
    """

    name: str
    epochs: float
    module: nn.Module
    groups: Sequence[Group]
    loss: Callable[[Batch, float], Mapping[str, Tensor]]
    validate: Callable[[], Mapping[str, float]]
    better: str
    goal_of: str = ""
    goal: float = math.inf
    patience: int = 5
    warm_share: float = 0.25
    average: float = 0.998
    clip: float = 5.0


@dataclass
class _Standing:
    """Where a phase stands: what a checkpoint records beside the tensors."""

    step: int = 0
    epoch: int = 0
    best: float = -math.inf
    best_epoch: int = 0
    done: bool = False
    seconds: float = 0.0
    kept: dict[str, Tensor] = field(default_factory=dict)


def run_phase(phase: Phase, batches: Batches, run: FitContext) -> None:
    """Train a phase, or what is left of it, and leave its best averaged weights in ``phase.module``.

    Raises MethodError if the loss stops being a number.
    """
    trainer = _Trainer(phase, batches, run)
    trainer.resume()
    while not trainer.at.done:
        trainer.epoch()
    copy_into(floating_tensors(phase.module), trainer.at.kept)
    phase.module.eval()


def seconds_per_epoch(phase: Phase, batches: Batches, run: FitContext, *, warm_up: int = 3, timed: int = 8) -> float:
    """Return a prediction of a phase's wall seconds an epoch, validation included; the module is left as it was."""
    before = {name: tensor.detach().clone() for name, tensor in phase.module.state_dict().items()}
    trainer = _Trainer(phase, batches, run)
    phase.module.train()
    laps = []
    started = time.perf_counter()
    for batch in itertools.islice(batches.epoch(0), warm_up + timed):
        trainer.step(batch, 0.5)
        laps.append(time.perf_counter() - started)
        started = time.perf_counter()
    phase.validate()
    validation = time.perf_counter() - started
    phase.module.load_state_dict(before)
    return statistics.median(laps[warm_up:] or laps) * batches.per_epoch + validation


class _Trainer:
    """A phase under way: the module, its optimizer and average, and where it stands."""

    def __init__(self, phase: Phase, batches: Batches, run: FitContext) -> None:
        self.phase, self.batches, self.run = phase, batches, run
        self.average = AveragedWeights(phase.module, phase.average)
        self.optimizer = torch.optim.AdamW(
            [{"params": list(g.parameters), "lr": g.rate, "weight_decay": g.decay} for g in phase.groups],
            fused=run.device.type in ("cpu", "cuda"),
        )
        self.at = _Standing()
        self.steps = max(1, round(phase.epochs * batches.per_epoch))

    def epoch(self) -> None:
        """Train one epoch (or what is left of the phase), validate, decide, record, save."""
        at, phase = self.at, self.phase
        started = time.perf_counter()
        numbers = self._train_epoch()
        with self.average.in_place():
            phase.module.eval()
            numbers |= phase.validate()
        at.epoch += 1
        at.seconds += time.perf_counter() - started
        score = numbers.get(phase.better, math.nan)
        if math.isnan(score):  # no validation split, or too small for a number: the latest epoch is the best
            score = float(at.epoch)
        if score > at.best:
            at.best, at.best_epoch = score, at.epoch
            at.kept = {name: tensor.clone() for name, tensor in self.average.tensors().items()}
        reached = numbers.get(phase.goal_of, -math.inf) >= phase.goal
        at.done = at.step >= self.steps or reached or at.epoch - at.best_epoch >= phase.patience
        place: dict[str, float | int | str] = {"phase": phase.name, "epoch": at.epoch, "step": at.step}
        self.run.history.add({**place, "seconds": round(at.seconds, 3), **numbers})
        self._save()
        shown = ", ".join(f"{name} {value:.4f}" for name, value in numbers.items())
        self.run.log(f"{phase.name}: epoch {at.epoch} of {math.ceil(phase.epochs)}, {at.seconds:.0f} s: {shown}")

    def step(self, batch: Batch, share: float) -> dict[str, Tensor]:
        """Take one optimiser step and return the recorded losses, detached."""
        with mixed_precision(self.run.device):
            losses = self.phase.loss(batch, share)
        self.optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()  # type: ignore[no-untyped-call]  # torch does not type backward
        if self.phase.clip:
            nn.utils.clip_grad_norm_([p for g in self.phase.groups for p in g.parameters], self.phase.clip)
        self.optimizer.step()
        return {name: value.detach() for name, value in losses.items()}

    def resume(self) -> None:
        """Go back to the phase's last checkpoint, if it has one."""
        saved = self.run.checkpoints.load(self.phase.name)
        if saved is None:
            return
        tensors, facts = saved
        self.run.history.replace(facts.pop("history"))
        self.at = at = _Standing(**facts, kept=_under(tensors, "kept."))
        if not at.done:
            self.phase.module.load_state_dict(_under(tensors, "module."))
            copy_into(self.average.tensors(), _under(tensors, "average."))
            unpack_optimizer(self.optimizer, _under(tensors, "optimizer."))
        self.run.log(f"{self.phase.name}: {'finished earlier' if at.done else f'resuming after epoch {at.epoch}'}")

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
            for group, declared in zip(self.optimizer.param_groups, self.phase.groups, strict=True):
                group["lr"] = declared.rate * one_cycle(share, self.phase.warm_share)
            losses = self.step(batch, share)
            at.step += 1
            self.average.update(at.step)
            sums = {name: value + sums[name] if sums else value for name, value in losses.items()}
            if count % _LOOK_EVERY == 0 or count == todo:
                self._refuse_divergence(sums["loss"])
        return {f"train_{name}": float(total) / todo for name, total in sums.items()}

    def _refuse_divergence(self, total: Tensor) -> None:
        if not math.isfinite(float(total)):
            where = f"phase {self.phase.name}, step {self.at.step}"
            raise MethodError(f"training diverged: the loss is {float(total)} in {where}; try a lower learning rate")

    def _save(self) -> None:
        at = self.at
        tensors = {f"kept.{name}": tensor for name, tensor in at.kept.items()}
        if not at.done:
            tensors |= {f"module.{name}": tensor for name, tensor in self.phase.module.state_dict().items()}
            tensors |= {f"average.{name}": tensor for name, tensor in self.average.tensors().items()}
            tensors |= {f"optimizer.{name}": tensor for name, tensor in pack_optimizer(self.optimizer).items()}
        facts = {name: getattr(at, name) for name in ("step", "epoch", "best", "best_epoch", "done", "seconds")}
        self.run.checkpoints.save(self.phase.name, tensors, {**facts, "history": list(self.run.history.rows())})


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
