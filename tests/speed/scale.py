"""Time and memory of a full evaluation as the gallery grows, each size in a process of its own.

    python tests/speed/scale.py [--most 10000000] [--queries 1000] [--threads 1] [--folder FOLDER]

1,000 queries of 128 numbers against 10,000 to 10,000,000 items of 1,000 classes; the gallery is a memory-mapped file
(5 GB at ten million) in FOLDER. Memory is the peak of anonymous memory beyond what the process held before: pages of
the mapped file are the system's cache, not ours.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from tabulate import tabulate

from bench import evaluate
from bench.executors.memory import held_by

DIM = 128
CLASSES = 1_000


class Peak:
    """The most memory that this process holds, files mapped left out, while it watches."""

    def __init__(self) -> None:
        self.before = self.highest = held_by([os.getpid()])
        self._done = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def _watch(self) -> None:
        while not self._done.wait(0.01):
            self.highest = max(self.highest, held_by([os.getpid()]))

    def stop(self) -> float:
        """Stop watching and return the megabytes beyond those at the start."""
        self._done.set()
        self._watcher.join()
        return (self.highest - self.before) / 1e6


def write_gallery(path: Path, items: int) -> None:
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((CLASSES, DIM)).astype(np.float32)
    made = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(items, DIM))
    for first in range(0, items, 100_000):
        last = min(items, first + 100_000)
        noise = rng.standard_normal((last - first, DIM), dtype=np.float32)
        made[first:last] = centres[np.arange(first, last) % CLASSES] + 3 * noise
    made.flush()


def measure(path: Path, queries: int, threads: int) -> None:
    """Evaluate and print seconds and megabytes; the process that is measured."""
    gallery = np.load(path, mmap_mode="r")
    rows = np.random.default_rng(1).choice(len(gallery), queries, replace=queries > len(gallery))
    query, labels = np.array(gallery[rows]), np.arange(len(gallery)) % CLASSES
    ids = np.arange(len(gallery))
    small = slice(0, 2_000)
    evaluate(query[:10], labels[rows[:10]], gallery[small], labels[small], threads=threads)  # imports are not its cost
    peak, started = Peak(), time.perf_counter()
    evaluate(query, labels[rows], gallery, labels, query_ids=ids[rows], gallery_ids=ids, threads=threads)
    sys.stdout.write(f"{time.perf_counter() - started:.3f} {peak.stop():.0f}\n")


def rows(queries: int, sizes: list[int], threads: int, folder: Path | None) -> list[list[str]]:
    table = []
    for items in sizes:
        with tempfile.TemporaryDirectory(dir=folder) as made:
            path = Path(made) / "gallery.npy"
            write_gallery(path, items)
            asked = [
                sys.executable,
                __file__,
                "--measure",
                str(path),
                "--queries",
                str(queries),
                "--threads",
                str(threads),
            ]
            told = subprocess.run(asked, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
        took, megabytes = float(told[0]), float(told[1])
        each = took / (queries * items) * 1e9
        table.append(
            [f"{queries:,} x {items:,} x {DIM}", f"{took:.1f} s", f"{each:.2f} ns a score", f"{megabytes:,.0f} MB"]
        )
        sys.stderr.write(" | ".join(table[-1]) + "\n")
    return table


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--most", type=int, default=10_000_000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--measure", type=Path)
    asked = parser.parse_args()
    if asked.measure is not None:
        measure(asked.measure, asked.queries, asked.threads)
        return
    sizes = [size for size in (10_000, 100_000, 1_000_000, 10_000_000) if size <= asked.most]
    table = rows(asked.queries, sizes, asked.threads, asked.folder)
    sys.stdout.write(tabulate(table, ["shape", "time", "time a score", "memory"], tablefmt="pipe") + "\n")


if __name__ == "__main__":
    main()
