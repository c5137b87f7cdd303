"""Training against its limit and against the seed projects' way, on the same network and the same images.

``python tests/speed/training.py`` measures throughput in a minute; with ``--time-to-map`` it also trains both ways on
FashionMNIST until the validation map reaches 0.85, or until the seeds' way has had ten times our time.

The seeds' way: a PIL image an item, torchvision transforms image by image, a DataLoader with worker processes, float32,
contiguous memory, Adam at 1e-3 without a schedule, the usual ArcFace numbers (scale 30, margin 0.5).
"""

from __future__ import annotations

import copy
import itertools
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from side_by_side import paired
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from bench import DataPlace, Images, RunContext, Split
from bench.contract import Budget
from bench.data.splits.protocols import build_dataset
from bench.options import build
from bench.registry import get_dataset, get_method
from bench.runs.fitting import MemoryHistory
from bench.training.embedder import Embedder
from bench.training.loop import run_phase
from bench.training.losses import ArcFaceHead
from bench.training.precision import mixed_precision
from bench.training.trained import Job, TrainedMethod
from bench.training.validation import retrieval_map

T = TypeVar("T")

CPU = torch.device("cpu")
SIZE = 128
STEPS = 40
TARGET = 0.85
SHARE = 0.85  # of an epoch: the shortest whole schedule that gets there, found on validation
PATIENCE = 10  # times our own time: how long the seeds' way may take


class Forgetful:
    """Checkpoints that keep nothing: a disk is not what is measured."""

    def save(self, name: str, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        del name, tensors, facts

    def load(self, name: str) -> None:
        del name


def context(history: MemoryHistory | None = None) -> RunContext:
    def bar(items: Iterable[T], *, total: int, what: str) -> Iterable[T]:
        return items

    return RunContext(
        seed=0,
        device=CPU,
        classes=tuple("0123456789"),
        mirror=True,
        budget=Budget(),
        checkpoints=Forgetful(),
        history=history or MemoryHistory(),
        progress=bar,
        log=lambda line: None,
    )


def made_up(count: int) -> Split:
    rng = np.random.default_rng(0)
    labels = np.arange(count, dtype=np.int64) % 10
    pixels = rng.integers(0, 256, (count, 28, 28, 1), dtype=np.uint8)
    return Split(Images(pixels), labels, np.arange(count).astype(np.str_))


class PilImages(Dataset[tuple[Tensor, int]]):
    """The seeds' data set: an image is opened, made a tensor and standardised each time it comes up."""

    def __init__(self, split: Split) -> None:
        self.images = [Image.fromarray(picture[..., 0]) for picture in split.images.take(slice(None))]
        self.labels = split.labels.tolist()
        flip = transforms.RandomHorizontalFlip()
        self.transform = transforms.Compose([flip, transforms.ToTensor(), transforms.Normalize((0.286,), (0.353,))])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        return self.transform(self.images[row]), self.labels[row]


class SeedsWay:
    """The same encoder under the seeds' training loop."""

    def __init__(self, split: Split) -> None:
        torch.manual_seed(0)
        self.embedder = Embedder("resnet", split.images.shape, 128).to(memory_format=torch.contiguous_format)
        self.head = ArcFaceHead(128, 10, 30.0)
        self.optimizer = torch.optim.Adam([*self.embedder.parameters(), *self.head.parameters()], lr=1e-3)
        self.loader = DataLoader(PilImages(split), SIZE, shuffle=True, num_workers=2, persistent_workers=True)

    def steps(self) -> Iterator[int]:
        """Train without end; yield the number of images after each step."""
        seen = 0
        while True:
            for pixels, labels in self.loader:
                self.embedder.train()
                loss = self.head(self.embedder.encoder(pixels), labels, 0.5)
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                seen += len(labels)
                yield seen

    def validation_map(self, validation: Split) -> float:
        """Return the map of the weights as they are, measured as our own training measures it."""
        measured = copy.deepcopy(self.embedder).eval()
        measured.mean.fill_(0.286)
        measured.spread.fill_(0.353)
        vectors = measured.embed_split(validation, CPU)
        return retrieval_map(vectors, torch.from_numpy(validation.labels))


def prepared(train: Split, validation: Split, run: RunContext, **options: Any) -> tuple[TrainedMethod[Any], Job]:
    method = build(get_method("arcface"), options, owner="method arcface")
    if not isinstance(method, TrainedMethod):
        raise TypeError("arcface is a trained method")
    torch.manual_seed(0)
    method.build(train.images.shape, 10, device=CPU, weights="none", decoding=False)
    method.embedder.measure(train)
    return method, Job(train, validation, run)


def throughput(rounds: int = 5) -> list[list[str]]:
    """Compare our engine with a bare loop on one resident batch, and with the seeds' way."""
    split = made_up(SIZE * STEPS * 4)
    method, job = prepared(split, split.subset(np.zeros(0, np.int64)), context())
    supply = method.batches(job, 1, method.augment)
    share = STEPS / supply.per_epoch

    def engine() -> None:
        run_phase(method.encoder_phase(job, share), supply, job.run)

    resident = next(supply.epoch(0))
    embedder, head = method.embedder, method.head
    optimizer = torch.optim.AdamW([*embedder.parameters(), *head.parameters()], lr=1e-3, fused=True)

    def bare() -> None:
        embedder.train()
        for _ in range(STEPS):
            with mixed_precision(CPU):
                loss = head(embedder(resident.pixels), resident.labels, 0.3)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    seeds = SeedsWay(split).steps()

    def seeds_way() -> None:
        for _ in itertools.islice(seeds, STEPS):
            pass

    seeds_way()  # its worker processes start here
    rate, threads = STEPS * SIZE, torch.get_num_threads()
    rows = []
    for name, other in (("bare loop, resident batch", bare), ("the seeds' way", seeds_way)):
        ours, theirs, ratio = paired(engine, other, rounds)
        rows.append(
            [
                f"training the default encoder, batch {SIZE}, 28x28, {threads} threads",
                f"{rate / ours:,.0f} images/s",
                f"{name}: {rate / theirs:,.0f} images/s",
                f"{1 / ratio:.2f} x its images/s",
            ]
        )
    return rows


def time_to_map() -> list[list[str]]:
    """Train both ways until the validation map reaches 0.85; the clock stops during validation."""
    loader = get_dataset("fashionmnist")()
    data = build_dataset(loader.load(DataPlace(root=None, cache=Path.home() / ".cache" / "simbench")), "loo")
    history = MemoryHistory()
    method, job = prepared(data.train, data.validation, context(history), epochs=SHARE)
    watched = replace(method.encoder_phase(job, SHARE), goal_of="val_map", goal=TARGET)
    started = time.perf_counter()
    run_phase(watched, method.batches(job, 1, method.augment), job.run)
    ours, reached = time.perf_counter() - started, history.rows()[-1]["val_map"]
    seeds = SeedsWay(data.train)
    spent, best = 0.0, 0.0
    lap = time.perf_counter()
    for step, _ in enumerate(seeds.steps(), start=1):
        if step % 100 == 0:
            spent += time.perf_counter() - lap
            best = max(best, seeds.validation_map(data.validation))
            if best >= TARGET or spent > PATIENCE * ours:
                break
            lap = time.perf_counter()
    return [
        [
            f"FashionMNIST to a validation map of {TARGET}",
            f"{ours:.0f} s (map {reached:.3f}, validation included)",
            f"the seeds' way: {spent:.0f} s (map {best:.3f}), validation not counted",
            f"{ours / spent:.2f} x its time",
        ]
    ]


def rows() -> list[list[str]]:
    return throughput() + time_to_map()


if __name__ == "__main__":
    table = throughput() + (time_to_map() if "--time-to-map" in sys.argv else [])
    sys.stdout.write("\n".join(" | ".join(row) for row in table) + "\n")
