"""What approximate search costs in labels: every index, dimension and setting measured on one finished embedding."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.contract import UsageError
from bench.environment import blas_threads
from bench.evaluation.cost.timing import fixed_threads
from bench.evaluation.indexes.recipes import Index, IndexRecipe, build, recipes
from bench.evaluation.metrics import ranking
from bench.evaluation.ranking.arrays import Floats, Ints, Vectors
from bench.evaluation.ranking.retrieval_set import RetrievalSet
from bench.evaluation.reranking.embedded import Embedded, Shortlist, shortlist_ranks, unit_or_zero
from bench.evaluation.reranking.vector_stages import Projection, fit_projection

Clock: TypeAlias = Literal["wall", "processor"]
_WARM_UP_CALLS = 10
_AT_ONCE = 256  # queries whose neighbours' vectors are looked up together
_ROUNDING = 1e-12  # of a sum of float64 products: equal similarities of two different vectors differ by less


@dataclass(frozen=True)
class Reduction:
    """Fewer dimensions: by PCA (``projection``), by keeping the first ones, or (``full``) none fewer."""

    name: Literal["full", "pca", "truncate"]
    dims: int
    projection: Projection | None = None

    def __call__(self, vectors: Vectors) -> Vectors:
        """Return unit vectors, float32 ``(n, dims)``; a row with nothing left in it is zeros."""
        if self.projection is not None:
            return self.projection(vectors)
        return unit_or_zero(vectors[:, : self.dims]) if self.name == "truncate" else vectors

    @property
    def stored_bytes(self) -> int:
        return self.projection.stored_bytes if self.projection else 0


@dataclass(frozen=True)
class Task:
    """One index to build, of vectors reduced in one way."""

    reduction: Reduction
    recipe: IndexRecipe


@dataclass(frozen=True)
class Point:
    """One index with one setting, measured.

    map_at_k, hit_at_1: as in METRICS, from the k items found, means over the queries with something to find;
    recall_at_k: see ``neighbor_recall``. bytes_per_image: all that is stored, over N. wall_ms, cpu_ms: float64
    ``(timed,)``, wall-clock and processor time of every single query that was timed, its reduction included. front: no
    other point is at least as good in map_at_k, p95 latency and bytes, and better in one.
    """

    reduction: str
    dims: int
    family: str
    index: str
    setting: str
    map_at_k: float
    hit_at_1: float
    recall_at_k: float
    bytes_per_image: float
    build_seconds: float
    wall_ms: Floats = field(repr=False, compare=False)
    cpu_ms: Floats = field(repr=False, compare=False)
    front: bool = False

    def latency(self, clock: Clock, percentile: float = 95) -> float:
        """Return a percentile of the single queries' times in ms."""
        return float(np.percentile(self.wall_ms if clock == "wall" else self.cpu_ms, percentile))


@dataclass(frozen=True)
class Sweep:
    """What all points of a sweep share: the data, k, threads, and how many single queries are timed."""

    data: RetrievalSet
    k: int
    threads: int = 1
    timed: int = 1_000

    @cached_property
    def vectors(self) -> Embedded:
        """The unit vectors that are searched."""
        return Embedded.of(self.data)

    @cached_property
    def exact(self) -> Shortlist:
        """The k nearest of every query by exact search in all dimensions."""
        return self.vectors.shortlist(self.k)

    def plan(self, dims: Sequence[int] = (), only: Sequence[str] = ()) -> tuple[Task, ...]:
        """Return every index to build: reductions x recipes.

        PCA is fitted on the training vectors if there are any, else on the gallery's, whose labels it does not see: an
        index is built from its gallery.

        Args:
            dims: Dimensions to search in, by default all, a half and a quarter of them; fewer than all come by PCA and
                by truncation.
            only: Families of indexes, by default all.

        Raises:
            UsageError: A k, dimension or family that cannot be.
        """
        gallery, train = self.vectors.gallery, self.vectors.train
        n, d = gallery.shape
        if not 1 <= self.k < n:
            raise UsageError(f"k must be from 1 to {n - 1} for a gallery of {n}, got {self.k}")
        wanted = list(dict.fromkeys(dims or (d, d // 2, d // 4)))
        impossible = [one for one in wanted if not 1 <= one <= d]
        if impossible:
            raise UsageError(f"dims must be from 1 to {d}, which the vectors have, got {impossible[0]}")
        source = gallery if train is None else train
        reductions: list[Reduction] = []
        for one in wanted:
            if one == d:
                reductions.append(Reduction("full", d))
            else:
                reductions += [Reduction("pca", one, fit_projection(source, dims=one)), Reduction("truncate", one)]
        return tuple(Task(one, recipe) for one in reductions for recipe in recipes(n, one.dims, self.k, only))

    def measure(self, tasks: Sequence[Task]) -> Iterator[list[Point]]:
        """Build each index and yield its points, one list a task. Neighbouring tasks share their reduced vectors."""
        with fixed_threads(self.threads), blas_threads(self.threads):
            for reduction, group in groupby(tasks, key=lambda task: task.reduction):
                whole = self.vectors
                query, gallery = (np.ascontiguousarray(reduction(one)) for one in (whole.query, whole.gallery))
                reduced = replace(whole, query=query, gallery=gallery)
                for task in group:
                    index = build(task.recipe, gallery)
                    yield [self._point(task, index, reduced, place) for place in range(len(task.recipe.settings))]

    def _point(self, task: Task, index: Index, reduced: Embedded, place: int) -> Point:
        setting = task.recipe.settings[place]
        index.set(setting)
        wanted = min(self.k + reduced.spare, len(reduced.gallery))
        similarities, items = index.search(reduced.query, wanted)
        found = reduced.without_own(items, similarities, self.k)
        wall, processor = self._latencies(task.reduction, index, wanted)
        ranks = shortlist_ranks(found, self.data, self.k)
        return Point(
            reduction=task.reduction.name,
            dims=task.reduction.dims,
            family=task.recipe.family,
            index=task.recipe.factory,
            setting=" ".join(f"{name}={value}" for name, value in setting.items()),
            map_at_k=float(np.nanmean(ranking.average_precision_at(ranks, self.k))),
            hit_at_1=float(np.nanmean(ranking.hit_at(ranks, 1))),
            recall_at_k=neighbor_recall(found.items, self.exact.items, self.vectors),
            bytes_per_image=(index.stored_bytes + task.reduction.stored_bytes) / len(reduced.gallery),
            build_seconds=index.build_seconds,
            wall_ms=wall,
            cpu_ms=processor,
        )

    def _latencies(self, reduction: Reduction, index: Index, k: int) -> tuple[Floats, Floats]:
        """Return wall-clock and processor ms of single queries, evenly spaced ones, float64 ``(timed,)`` each."""
        queries = self.vectors.query
        rows = np.linspace(0, len(queries) - 1, self.timed).astype(np.int64)
        wall, processor = np.zeros(len(rows)), np.zeros(len(rows))
        for turn, row in enumerate([*rows[:_WARM_UP_CALLS], *rows], start=-min(_WARM_UP_CALLS, len(rows))):
            one = queries[row : row + 1]
            worked, begun = time.process_time_ns(), time.perf_counter_ns()
            index.search(reduction(one), k)
            ended, done = time.perf_counter_ns(), time.process_time_ns()
            if turn >= 0:
                wall[turn], processor[turn] = (ended - begun) / 1e6, (done - worked) / 1e6
        return wall, processor


def neighbor_recall(found: Ints, exact: Ints, vectors: Embedded) -> float:
    """Return the share of the exact k nearest that were found, mean over queries that have any neighbour.

    An item found counts if its exact similarity reaches that of the k-th best: of items that are equally similar, no
    search can know which ones the exact search happened to give.

    Args:
        found: Gallery positions that a search gave, int64 ``(q, k)``, no item twice in a row, -1 for none.
        exact: Those of an exact search, likewise.
        vectors: What was searched, in all dimensions.
    """
    shares = []
    for start in range(0, len(found), _AT_ONCE):
        rows = slice(start, start + _AT_ONCE)
        best, given = (_similarities(vectors, rows, items[rows]) for items in (exact, found))
        kth = np.where(np.isnan(best), np.inf, best).min(axis=1, keepdims=True)
        wanted = (exact[rows] >= 0).sum(axis=1)
        hits = (given >= kth - _ROUNDING).sum(axis=1)  # NaN, where there is no item, reaches nothing
        shares.append((np.minimum(hits, wanted) / np.maximum(wanted, 1))[wanted > 0])
    every = np.concatenate(shares)
    return float(every.mean()) if len(every) else float("nan")


def _similarities(vectors: Embedded, rows: slice, items: Ints) -> Floats:
    """Return inner products of some queries and their items, float64 ``(q, k)``, NaN where there is no item.

    Summed in one order for every pair, so that equal vectors are equally similar: a matrix product's last bit depends
    on where in it an item stands.
    """
    query, gallery = (part.astype(np.float64) for part in (vectors.query[rows], vectors.gallery[items]))
    products = np.einsum("qd,qkd->qk", query, gallery)
    return np.where(items >= 0, products, np.nan)


def mark_front(points: Sequence[Point], clock: Clock = "wall") -> tuple[Point, ...]:
    """Return the points with ``front`` set: those that no other beats in map@k, p95 latency and bytes together."""
    costs = np.array([(-one.map_at_k, one.latency(clock), one.bytes_per_image) for one in points]).reshape(-1, 3)
    return tuple(replace(one, front=bool(on)) for one, on in zip(points, pareto_front(costs), strict=True))


def pareto_front(costs: Floats) -> NDArray[np.bool_]:
    """Return who is on the Pareto front, bool ``(n,)``: no other costs as little in all, and less in something.

    costs: float64 ``(n, d)``, less is better in every column; of equal points all are on the front, or none.
    """
    beaten = [((costs <= cost).all(axis=1) & (costs < cost).any(axis=1)).any() for cost in costs]
    return ~np.array(beaten, dtype=np.bool_)
