"""Whether a written ONNX file gives a run's own vectors and rankings: measured, and required."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from bench.contract import Dataset, Progress, SimbenchError
from bench.evaluation.evaluate import evaluate_set
from bench.evaluation.inference.embed import batches, to_floats
from bench.evaluation.ranking.arrays import Vectors
from bench.runs.artifacts import read_vectors
from bench.runs.ranked import ranked_parts
from bench.runs.store import RunRecord

SECONDS = 120.0  # that embedding the queries may take; where all would take longer, a sample is embedded
_LEAST, _AT_ONCE, _TOP = 64, 16, 50
MOST_APART = 1e-4  # of 1 - cosine, and of map
EXTRA = "'simbench-retrieval[export]'"
NOISE = 1e-5  # items whose similarities to a query are closer than this may change places

Embed = Callable[[Vectors], Vectors]  # float32 (n, channels, height, width) in [0, 1] to (n, d)


@dataclass(frozen=True)
class Parity:
    """How far a file's vectors are from the run's kept ones.

    images: queries compared, of ``queries``; largest_distance: of 1 - cosine; same_top: whether every query has the
    same first 50 items, but for ``swaps``: places where items changed whose similarities differ by less than ``noise``;
    map_kept, map_written: of these queries, the gallery being the run's kept vectors both times.
    """

    images: int
    queries: int
    largest_distance: float
    same_top: bool
    swaps: int
    map_kept: float
    map_written: float
    noise: float = NOISE

    @property
    def map_difference(self) -> float:
        return abs(self.map_written - self.map_kept)

    def require(self, what: str) -> None:
        """Raise SimbenchError, in one line, unless the vectors agree."""
        wrong = []
        if not self.largest_distance <= MOST_APART:
            wrong.append(f"1 - cosine is up to {self.largest_distance:.2g}")
        if not self.same_top:
            wrong.append(f"other first {_TOP} items")
        if not self.map_difference <= MOST_APART:
            wrong.append(f"map {self.map_written:.4f} for {self.map_kept:.4f}")
        if wrong:
            raise SimbenchError(
                f"{what} does not give this run's vectors ({'; '.join(wrong)}; at most {MOST_APART:g} is allowed, on "
                f"{self.images:,} queries); nothing was written"
            )


def measure_parity(record: RunRecord, data: Dataset, embed: Embed, progress: Progress) -> Parity:
    """Embed a run's queries again, all that ``SECONDS`` allow, evenly spaced, and compare with its kept vectors."""
    kept = read_vectors(record)
    rows = _rows(data, embed)
    pixels, found = data.query.images, []
    for part in batches(len(rows), _AT_ONCE, progress, "parity"):
        found.append(embed(_floats(pixels.take(rows[part]))))
    written, own = np.concatenate(found), kept["query"][rows]
    if written.shape != own.shape:
        raise SimbenchError(f"the written model gives vectors {written.shape}, the run has {own.shape}")
    lengths = np.linalg.norm(written.astype(np.float64), axis=1)
    cosines = (written.astype(np.float64) * own).sum(axis=1) / (
        lengths * np.linalg.norm(own.astype(np.float64), axis=1)
    )
    sides = [_ranked(vectors, rows, data, kept["gallery"], record.result.spec.ties) for vectors in (own, written)]
    same, swaps = _same_top(own, sides[0][1], sides[1][1], kept["gallery"])
    return Parity(len(rows), len(data.query), float(1 - cosines.min()), same, swaps, sides[0][0], sides[1][0])


def _floats(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Vectors:
    found: Vectors = to_floats(pixels, torch.device("cpu")).contiguous().numpy()
    return found


def _rows(data: Dataset, embed: Embed) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the evenly spaced queries that the allowed time is enough for."""
    n = len(data.query)
    first = _floats(data.query.images.take(np.arange(min(n, _AT_ONCE))))
    embed(first)  # the first call prepares
    start = time.perf_counter()
    embed(first)
    count = int(SECONDS * len(first) / max(time.perf_counter() - start, 1e-9))
    return np.linspace(0, n - 1, min(n, max(_LEAST, count))).astype(np.int64)


def _ranked(
    vectors: Vectors, rows: np.ndarray[tuple[int], np.dtype[np.int64]], data: Dataset, gallery: Vectors, ties: str
) -> tuple[float, np.ndarray[tuple[int, ...], np.dtype[np.int32]]]:
    """Return the map of some queries against the kept gallery, and their first items."""
    query = data.query.subset(rows)
    ranked = ranked_parts(vectors, query, gallery, data.gallery, normalize=True)
    found = evaluate_set(ranked, ks=[_TOP], ties=ties, replicates=False)
    return found.scores["map"], found.neighbors[:, :_TOP]


def _same_top(
    query: Vectors,
    kept: np.ndarray[tuple[int, ...], np.dtype[np.int32]],
    written: np.ndarray[tuple[int, ...], np.dtype[np.int32]],
    gallery: Vectors,
) -> tuple[bool, int]:
    """Return whether the rankings are the same but for swaps within the noise, and how many places those are."""
    rows, places = np.nonzero(kept != written)
    here, there = (gallery[items[rows, places]].astype(np.float64) for items in (kept, written))
    apart = np.abs(((here - there) * query[rows]).sum(axis=1))
    return bool((apart < NOISE).all()), len(rows)
