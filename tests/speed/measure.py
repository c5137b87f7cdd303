"""Speed against the bare limit, side by side in one run: ratios, because the machines' clocks are not to be trusted.

Run by ``make speed``; writes ``results/speed.md``.
"""

from __future__ import annotations

import platform
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from tabulate import tabulate
from threadpoolctl import threadpool_limits
from torch.nn import functional as F

from bench import Images, ImageShape, Split, evaluate
from bench.runs.provenance import cpu_name, git_commit
from bench.training.augment import Augmentation
from bench.training.batches import Batches
from bench.training.embedder import Embedder
from bench.training.losses import ArcFaceHead
from bench.training.precision import mixed_precision

ROUNDS = 5
CPU = torch.device("cpu")


def paired(
    first: Callable[[], object], second: Callable[[], object], rounds: int = ROUNDS
) -> tuple[float, float, float]:
    """Return the median seconds of both, taken in turn, and the median of their ratio pair by pair."""
    first(), second()
    laps = [(_seconds(first), _seconds(second)) for _ in range(rounds)]
    return (
        statistics.median(a for a, _ in laps),
        statistics.median(b for _, b in laps),
        statistics.median(a / b for a, b in laps),
    )


def _seconds(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def ranking(queries: int, items: int, dim: int, classes: int) -> list[str]:
    """Score a full ranking against the bare float32 product of the same shapes, one thread."""
    rng = np.random.default_rng(0)
    query, gallery = (rng.standard_normal((n, dim)).astype(np.float32) for n in (queries, items))
    labels, others = rng.integers(0, classes, queries), rng.integers(0, classes, items)

    def product() -> None:
        with threadpool_limits(1, user_api="blas"):
            for start in range(0, queries, 1000):
                query[start : start + 1000] @ gallery.T

    ours, bare, ratio = paired(lambda: evaluate(query, labels, gallery, others, threads=1), product, rounds=3)
    what = f"all metrics, full ranking, {queries:,} x {items:,} x {dim}, {classes:,} classes"
    return [what, f"{ours:.2f} s", f"bare product {bare:.2f} s", f"{ratio:.2f}"]


def training(size: int = 128, steps: int = 30) -> list[str]:
    """Train from the data set against the same forward, backward and step on one resident batch."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 50_000).astype(np.int64)
    pixels = rng.integers(0, 256, (50_000, 28, 28, 1), dtype=np.uint8)
    split = Split(Images(pixels), labels, np.arange(50_000).astype(np.str_))
    embedder, head = Embedder("resnet", ImageShape(28, 28, 1), 128, mirror=True), ArcFaceHead(128, 10, 30.0)
    parameters = [*embedder.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, fused=True)
    supply = Batches(split, size, CPU, 0, Augmentation("light", mirror=True))
    resident = next(supply.epoch(0))

    def step(x: torch.Tensor, y: torch.Tensor) -> None:
        with mixed_precision(CPU):
            loss = head(F.normalize(embedder(x)), y, 0.3)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def from_data() -> None:
        for _, batch in zip(range(steps), supply.epoch(1), strict=False):
            step(batch.pixels, batch.labels)

    def bare() -> None:
        for _ in range(steps):
            step(resident.pixels, resident.labels)

    ours, limit, ratio = paired(from_data, bare)
    rate = steps * size
    what = f"training from a data set, batch {size}, 28x28, {torch.get_num_threads()} threads"
    return [what, f"{rate / ours:,.0f} images/s", f"resident batch {rate / limit:,.0f} images/s", f"{ratio:.2f}"]


def main() -> None:
    rows = [ranking(2_000, 60_000, 128, 10), ranking(1_000, 60_502, 512, 11_316), training()]
    commit, dirty = git_commit(Path(__file__).resolve().parents[2])
    text = tabulate(rows, ["what", "simbench", "limit", "time ratio"], tablefmt="pipe", disable_numparse=True)
    page = (
        "# Speed\n\nMade by `make speed`: each pair is measured in turn in one process; medians.\n\n"
        f"{text}\n\n{datetime.now(UTC):%Y-%m-%d}, {cpu_name()}, Python {platform.python_version()}, torch "
        f"{torch.__version__}, commit {str(commit)[:10]}{'+' if dirty else ''}.\n"
    )
    Path("results").mkdir(exist_ok=True)
    Path("results/speed.md").write_text(page, encoding="utf-8")
    sys.stdout.write(page)


if __name__ == "__main__":
    main()
