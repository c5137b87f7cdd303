"""Scoring a full ranking against the bare float32 product of the same shapes, one thread."""

from __future__ import annotations

import sys

import numpy as np
from threadpoolctl import threadpool_limits

from bench import evaluate
from bench.evaluation.side_by_side import paired


def ranking(queries: int, items: int, dim: int, classes: int) -> list[str]:
    rng = np.random.default_rng(0)
    query, gallery = (rng.standard_normal((n, dim)).astype(np.float32) for n in (queries, items))
    labels, others = rng.integers(0, classes, queries), rng.integers(0, classes, items)

    def product() -> None:
        with threadpool_limits(1, user_api="blas"):
            for start in range(0, queries, 1000):
                query[start : start + 1000] @ gallery.T

    ours, bare, ratio = paired(lambda: evaluate(query, labels, gallery, others, threads=1), product, rounds=3)
    what = f"all metrics, full ranking, {queries:,} x {items:,} x {dim}, {classes:,} classes, 1 thread"
    return [what, f"{ours:.2f} s", f"bare product {bare:.2f} s", f"{ratio:.2f} x its time"]


def rows() -> list[list[str]]:
    return [ranking(2_000, 60_000, 128, 10), ranking(1_000, 60_502, 512, 11_316)]


if __name__ == "__main__":
    sys.stdout.write("\n".join(" | ".join(row) for row in rows()) + "\n")
