"""What a card does at most: bare loops over resident data, in the forms that the fastest public code has."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from bench import Split
from bench.training.batches import to_unit_float
from bench.training.embedder import Embedder
from bench.training.losses import ArcFaceHead
from bench.training.precision import mixed_precision


@dataclass(frozen=True)
class Card:
    """Where everything is measured."""

    device: torch.device

    @property
    def is_gpu(self) -> bool:
        return self.device.type == "cuda"

    def wait(self) -> None:
        """Wait for what is under way: work on a GPU goes on after its call returned."""
        if self.is_gpu:
            torch.cuda.synchronize(self.device)

    def seconds(self, act: Callable[[], object]) -> float:
        self.wait()
        started = time.perf_counter()
        act()
        self.wait()
        return time.perf_counter() - started

    def paired(self, ours: Callable[[], object], limit: Callable[[], object], rounds: int) -> tuple[float, float]:
        """Return the median seconds of both, taken in turn after one call of each that does not count."""
        ours(), limit()
        laps = [(self.seconds(ours), self.seconds(limit)) for _ in range(rounds)]
        return statistics.median(a for a, _ in laps), statistics.median(b for _, b in laps)

    def seconds_each(self, step: Callable[[], object], count: int, rounds: int) -> float:
        """Return the median seconds of one step, over stretches of ``count`` after one that does not count."""

        def stretch() -> None:
            for _ in range(count):
                step()

        stretch()
        return statistics.median(self.seconds(stretch) for _ in range(rounds)) / count

    def captured(self, step: Callable[[], object]) -> Callable[[], object]:
        """Return a step as one CUDA graph that is replayed; the step itself where there are no graphs."""
        if not self.is_gpu:
            return step
        side = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]  # as torch has it
        side.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(side):
            for _ in range(3):
                step()
        torch.cuda.current_stream(self.device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
        return graph.replay


class BareStep:
    """Forward, ArcFace loss, backward and AdamW over one resident batch, and nothing else."""

    def __init__(self, card: Card, split: Split, batch: int, *, compiled: bool) -> None:
        torch.manual_seed(0)
        self.device = card.device
        self.embedder = Embedder("resnet", split.images.shape, 128).to(card.device)
        self.head = ArcFaceHead(128, 10, 8.0).to(card.device)
        self.pixels = to_unit_float(torch.from_numpy(split.images.take(np.arange(batch))), card.device)
        self.labels = torch.from_numpy(split.labels[:batch]).to(card.device)
        parameters = [*self.embedder.parameters(), *self.head.parameters()]
        self.optimizer = torch.optim.AdamW(parameters, lr=1e-3, fused=True, capturable=card.is_gpu)
        if compiled:
            self.embedder.encoder.compile()

    def __call__(self) -> None:
        with mixed_precision(self.device):
            loss = self.head(self.embedder(self.pixels), self.labels, 0.3)
        self.optimizer.zero_grad(set_to_none=False)
        loss.backward()
        self.optimizer.step()


def bare_forward(card: Card, network: nn.Module, split: Split, at_once: int) -> Callable[[], None]:
    """Return the network alone, compiled, over one resident batch, as often as all images would ask."""
    pixels = to_unit_float(torch.from_numpy(split.images.take(np.arange(at_once))), card.device)
    network = network.to(memory_format=torch.channels_last)
    run = torch.compile(network) if card.is_gpu else network

    def act() -> None:
        with torch.inference_mode(), mixed_precision(card.device):
            for _ in range(len(split) // at_once):
                run(pixels)

    return act


def products(query: torch.Tensor, gallery: torch.Tensor, keep: int) -> None:
    """Multiply all pairs in blocks of 1,000 queries, float32 proper, and find each block's best where asked."""
    for block in torch.split(query, 1_000):
        scores = block @ gallery.T
        if keep:
            scores.topk(min(keep, len(gallery)), dim=1)
