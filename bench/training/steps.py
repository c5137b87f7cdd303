"""The steps of a phase: taken one by one, or on a GPU as one CUDA graph that is replayed.

A small network is bound by launches on a GPU: forward, loss, backward, clipping, optimiser and averaged weights are
hundreds of kernels of a few microseconds. A graph launches them all at once (Nguyen et al., "Accelerating PyTorch with
CUDA Graphs", 2021). It holds addresses and Python's numbers as they were when it was captured, so that whatever changes
from step to step (batch, rates, share of the phase, memory of the average) lies in buffers that stay where they are.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor, nn

from bench.contract import UsageError
from bench.training.average import AveragedWeights
from bench.training.batches import Batch
from bench.training.capturable import what_no_graph_holds
from bench.training.phase import Phase
from bench.training.precision import mixed_precision, number_type

Recorder: TypeAlias = Callable[[Callable[[], object]], Callable[[], object]]

CAPTURE = "SIMBENCH_CAPTURE"  # of the environment: no setting, for no score depends on it
_MOST_GRAPHS = 4  # of a phase, one after another: a new one at each step would be slower than none
_WARM_UP = 3  # steps before a capture, as torch's documentation has it: lazy libraries are then all there
_ROUNDING = 1e-3  # by which a loss may differ from call to call: short numbers, added in another order


@dataclass(frozen=True)
class Setting:
    """What changes from step to step. share: of the phase done; keep: of the average; rates: one a group."""

    share: float
    keep: float
    rates: tuple[float, ...]


class Steps:
    """Takes optimiser steps and sums up their losses.

    sums: the recorded losses since ``begin``, 0-d tensors on the device.
    """

    def __init__(self, phase: Phase, device: torch.device) -> None:
        self.phase, self.device = phase, device
        self.average = AveragedWeights(phase.module)
        self.optimizer = phase.optimization.make_optimizer(phase.groups, device)
        half = number_type(phase.optimization.precision, device) == torch.float16
        self.scaler = torch.amp.GradScaler(device.type, enabled=half)
        self.sums: dict[str, Tensor] = {}

    @property
    def eager_because(self) -> str:
        """Why steps on a GPU are not captured, nothing where they are, or where there is no GPU."""
        return ""

    def begin(self, settings: Sequence[Setting]) -> None:
        """Begin an epoch, or what is left of one, of so many steps."""
        self.sums = {}

    def take(self, batch: Batch, setting: Setting) -> None:
        """Take one step."""
        self.phase.prepare(setting.share)
        for group, rate in zip(self.optimizer.param_groups, setting.rates, strict=True):
            group["lr"] = rate
        losses = self._learn(batch, setting.share)
        self.average.update(setting.keep)
        self.sums = {name: value + self.sums[name] if self.sums else value for name, value in losses.items()}

    def _learn(self, batch: Batch, share: float | Tensor) -> dict[str, Tensor]:
        how = self.phase.optimization
        with mixed_precision(self.device, how.precision):
            losses = self.phase.loss(batch, share)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(losses["loss"]).backward()  # type: ignore[no-untyped-call]  # torch does not type backward
        if how.grad_clip:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_([p for g in self.phase.groups for p in g.parameters], how.grad_clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return {name: value.detach() for name, value in losses.items()}


class BufferedSteps(Steps):
    """Steps over buffers that stay where they are: the form that a graph can hold, and the same numbers.

    recorded: makes of a step what does it again, without doing it; raises RuntimeError where it cannot.
    """

    def __init__(self, phase: Phase, device: torch.device, recorded: Recorder) -> None:
        super().__init__(phase, device)
        self._recorded = recorded
        self._batch: Batch | None = None
        self._now = torch.zeros(2 + len(phase.groups), device=device)  # share, keep, rates
        self._planned: Iterator[Tensor] = iter(())
        self._graphs: dict[Hashable, Callable[[], object]] = {}
        self._made = 0
        self._because = f"{CAPTURE}=off" if os.environ.get(CAPTURE) == "off" else ""
        if self.scaler.is_enabled():
            self._because = "float16 asks the host at every step whether a gradient overflowed"

    @property
    def eager_because(self) -> str:
        return self._because

    def begin(self, settings: Sequence[Setting]) -> None:
        table = torch.tensor([(one.share, one.keep, *one.rates) for one in settings], dtype=torch.float32)
        self._planned = iter(table.to(self.device))
        for group, rate in zip(self.optimizer.param_groups, self._now[2:], strict=True):
            group["lr"] = rate  # here, for a checkpoint that was loaded has brought copies
        for total in self.sums.values():
            total.zero_()

    def take(self, batch: Batch, setting: Setting) -> None:
        self._now.copy_(next(self._planned))
        self._keep(batch)
        mode = self.phase.prepare(setting.share), batch.inputs.shape
        if mode not in self._graphs:
            self._graphs = {mode: self._graph()}  # one at a time: each holds the memory of a whole step
        self._graphs[mode]()

    def _keep(self, batch: Batch) -> None:
        """Copy a batch to where the graph reads it; one of another shape gets buffers, and a graph, of its own."""
        held = self._batch
        if held is None or held.inputs.shape != batch.inputs.shape:
            self._batch, self._graphs = Batch(batch.inputs.clone(), batch.labels.clone(), batch.rows.clone()), {}
            return
        for there, here in ((held.inputs, batch.inputs), (held.labels, batch.labels), (held.rows, batch.rows)):
            there.copy_(here)

    def _step(self) -> Tensor:
        """Take a step over the buffers and return its loss, a copy."""
        if self._batch is None:
            raise RuntimeError("a step without a batch")
        losses = self._learn(self._batch, self._now[0])
        self.average.update(self._now[1])
        for name, value in losses.items():
            self.sums.setdefault(name, torch.zeros_like(value)).add_(value)
        return losses["loss"].clone()

    def _graph(self) -> Callable[[], object]:
        """Return what takes a step over the buffers: a graph, or, with a reason, the step itself."""
        self._made += 1
        if self._made > _MOST_GRAPHS:
            self._because = (
                self._because or f"the phase went from one kind of step to another more than {_MOST_GRAPHS - 1} times"
            )
        if self._because:
            return self._step
        self._because = self._unfit()
        if self._because:
            return self._step
        try:
            return self._recorded(self._step)
        except RuntimeError as error:
            self._because = (str(error).splitlines() or [type(error).__name__])[0]
            return self._step

    def _unfit(self) -> str:
        """Take the step three times, undo each, and return why it cannot be replayed, nothing if it can."""
        found: list[Tensor] = []
        for _ in range(_WARM_UP - 1):
            with self._undone(), _aside(self.device):
                found.append(self._step())
        with self._undone(), _aside(self.device):  # where a compiled encoder is not, and may draw other numbers
            why = what_no_graph_holds(self._step)
        if why:
            return why
        if all(torch.allclose(one, found[0], rtol=_ROUNDING, equal_nan=True) for one in found):
            return ""
        return "its loss differs from call to call on the same batch and weights"

    @contextmanager
    def _undone(self) -> Iterator[None]:
        """Leave everything that a step changes as it was, to the last bit, where it lies."""
        live = [*self.phase.module.state_dict(keep_vars=True).values(), *self.average.tensors.values()]
        live += [*_state_of(self.optimizer), *self.sums.values()]
        before = [tensor.detach().clone() for tensor in live]
        random = torch.get_rng_state(), torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None
        yield
        known = {id(tensor) for tensor in live}
        made = [one for one in (*_state_of(self.optimizer), *self.sums.values()) if id(one) not in known]
        with torch.no_grad():
            for tensor, value in zip(live, before, strict=True):
                tensor.copy_(value)
            for tensor in made:  # moments, counts and sums begin at 0
                tensor.zero_()
        torch.set_rng_state(random[0])
        if random[1] is not None:
            torch.cuda.set_rng_state(random[1], self.device)


def steps_of(phase: Phase, device: torch.device) -> Steps:
    """Return what takes a phase's steps on a device. Raises UsageError where SIMBENCH_CAPTURE says anything but off."""
    if os.environ.get(CAPTURE, "off") != "off":
        raise UsageError(f"{CAPTURE} may be off, got {os.environ[CAPTURE]!r}")
    if device.type != "cuda":
        return Steps(phase, device)
    return BufferedSteps(phase, device, partial(captured, device))


def captured(device: torch.device, step: Callable[[], object]) -> Callable[[], object]:
    """Return a step as a CUDA graph, captured and not run. Raises RuntimeError where it does what no graph can hold."""
    with torch.cuda.device(device):
        torch.cuda.synchronize()
        graph, stream = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        try:
            # thread_local: other threads may prepare the next batch meanwhile
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                step()
        except RuntimeError:
            torch.cuda.set_stream(stream)  # torch stays on the capture's, and its generator takes itself for captured
            generator = torch.cuda.default_generators[torch.cuda.current_device()]
            generator.graphsafe_set_state(generator.clone_state())
            raise
    return graph.replay


@contextmanager
def _aside(device: torch.device) -> Iterator[None]:
    """Compute on another stream than what follows: a capture must not find work of its own stream under way."""
    if device.type != "cuda":
        yield
        return
    side, main = torch.cuda.Stream(device), torch.cuda.current_stream(device)  # type: ignore[no-untyped-call]
    side.wait_stream(main)
    with torch.cuda.stream(side):
        yield
    main.wait_stream(side)


def _state_of(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [value for held in optimizer.state.values() for value in held.values() if isinstance(value, Tensor)]
