"""Scoring full rankings against the bare float32 product of the same shapes, side by side in one process.

    python tests/speed/ranking.py [--rounds 5] [--quick]

Asked for are 2.5 x the product's time at 10,000 x 60,000 x 128 with 10 classes, and 1.3 x at 5,000 x 60,502 x 512 with
11,316 classes; collapsed vectors at most 6 x slower than healthy ones; two threads 1.8 x one; the first 50 alone 1.2 x
faiss's flat search. The vectors are classes around random centres (map about .5), and none at all (map at chance).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import faiss
import numpy as np
import torch
from numpy.typing import NDArray
from side_by_side import paired, seconds
from tabulate import tabulate
from threadpoolctl import threadpool_limits

from bench import evaluate
from bench.evaluation.cost.timing import fixed_threads


@dataclass(frozen=True)
class Problem:
    """Unit vectors and labels of both sides; ids where the queries are part of the gallery."""

    query: NDArray[np.float32]
    query_labels: NDArray[np.int64]
    gallery: NDArray[np.float32]
    gallery_labels: NDArray[np.int64]
    query_ids: NDArray[np.int64] | None = None
    gallery_ids: NDArray[np.int64] | None = None

    def score(self, *, threads: int = 1, full: bool = True) -> dict[str, float]:
        found = evaluate(
            self.query,
            self.query_labels,
            self.gallery,
            self.gallery_labels,
            query_ids=self.query_ids,
            gallery_ids=self.gallery_ids,
            normalize=False,
            full=full,
            threads=threads,
        )
        return dict(found.scores)


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    scaled: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return scaled


def problem(queries: int, items: int, dim: int, classes: int, *, spread: float, within: bool = False) -> Problem:
    """Return vectors around class centres; ``spread`` is the noise's length over that of a centre, per dimension."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((classes, dim)).astype(np.float32)

    def drawn(labels: NDArray[np.int64]) -> NDArray[np.float32]:
        vectors = centres[labels] + np.float32(spread) * rng.standard_normal((len(labels), dim)).astype(np.float32)
        return unit(vectors)

    labels = rng.integers(0, classes, items)
    gallery = drawn(labels)
    if within:
        rows = rng.choice(items, queries, replace=False)
        return Problem(gallery[rows], labels[rows], gallery, labels, rows, np.arange(items))
    asked = rng.integers(0, classes, queries)
    return Problem(drawn(asked), asked, gallery, labels)


def collapsed(like: Problem) -> Problem:
    """Return the same labels with vectors that are all but equal: a model whose cosines are 1 to rounding."""
    rng = np.random.default_rng(1)
    one = rng.standard_normal((1, like.query.shape[1])).astype(np.float32)

    def near(n: int) -> NDArray[np.float32]:
        vectors = one + np.float32(1e-4) * rng.standard_normal((n, one.shape[1])).astype(np.float32)
        return unit(vectors)

    return Problem(near(len(like.query)), like.query_labels, near(len(like.gallery)), like.gallery_labels)


def bare_product(one: Problem) -> Callable[[], None]:
    """Return the product of all pairs in blocks of 1,000 rows, by NumPy or torch: whichever is faster here."""

    def by_numpy() -> None:
        for start in range(0, len(one.query), 1_000):
            one.query[start : start + 1_000] @ one.gallery.T

    query, gallery = torch.from_numpy(one.query), torch.from_numpy(one.gallery)

    def by_torch() -> None:
        for start in range(0, len(query), 1_000):
            torch.mm(query[start : start + 1_000], gallery.T)

    with threadpool_limits(1, user_api="blas"), fixed_threads(1):
        by_numpy()
        by_torch()
        fast = by_numpy if seconds(by_numpy) <= seconds(by_torch) else by_torch

    def limited() -> None:
        with threadpool_limits(1, user_api="blas"), fixed_threads(1):
            fast()

    return limited


def row(what: str, ours: Callable[[], object], name: str, other: Callable[[], object], rounds: int) -> list[str]:
    mine, theirs, ratio = paired(ours, other, rounds)
    return [what, f"{mine:.2f} s", f"{name} {theirs:.2f} s", f"{ratio:.2f} x its time"]


def rows(rounds: int = 5, *, quick: bool = False) -> list[list[str]]:
    """Return every row of the table; quick: a tenth of the queries."""
    many, some = (1_000, 500) if quick else (10_000, 5_000)
    clear = problem(many, 60_000, 128, 10, spread=3.0)
    blurred = problem(many, 60_000, 128, 10, spread=1e6)
    wide = problem(some, 60_502, 512, 11_316, spread=3.0, within=True)
    shape, large = f"{many:,} x 60,000 x 128, 10 classes", f"{some:,} x 60,502 x 512, 11,316 classes, self excluded"
    told = "all metrics, full ranking"
    bare, flat = bare_product(clear), faiss.IndexFlatIP(128)
    flat.add(clear.gallery)

    def searched() -> None:
        with fixed_threads(1):
            flat.search(clear.query, 50)

    return [
        row(f"{told}, {shape}, map {clear.score()['map']:.2f}", clear.score, "bare product", bare, rounds),
        row(f"{told}, {shape}, random vectors", blurred.score, "bare product", bare, rounds),
        row(f"{told}, {large}", wide.score, "bare product", bare_product(wide), rounds),
        row(f"{told}, {shape}, collapsed vectors", collapsed(clear).score, "healthy vectors", clear.score, rounds),
        row(f"{told}, {shape}, two threads", partial(clear.score, threads=2), "one thread", clear.score, rounds),
        row(f"first 50 only, {shape}", partial(clear.score, full=False), "faiss flat, 50", searched, rounds),
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    table = rows(asked.rounds, quick=asked.quick)
    sys.stdout.write(tabulate(table, ["what", "simbench", "beside it", "ratio"], tablefmt="pipe") + "\n")


if __name__ == "__main__":
    main()
