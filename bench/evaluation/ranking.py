"""The exact ranking of the whole gallery for every query, a block of queries at a time.

No matrix of all scores is ever made: a block of query rows is multiplied into one buffer a thread, its ranks are
counted and handed to the caller's ``reduce``, and the buffer is used again. Given the scores, ranks are exact whole
numbers, whatever the block size and the number of threads.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from bench.evaluation.arrays import Ints, Neighbors, Scores, Vectors
from bench.evaluation.columns import Columns, grouped_columns
from bench.evaluation.equal_rows import equal_rows
from bench.evaluation.kernel import count_block, nearest_columns
from bench.evaluation.layout import Layout
from bench.evaluation.ranks import Ranks
from bench.evaluation.vectors import Rows

T = TypeVar("T")

_BUFFER_SCORES = 8 << 20  # scores in one thread's buffer: 32 MB of float32
_PART_RANKS = 1 << 18  # ranks that a thread holds at once, 2 MB an array: with one label, a buffer would give 8 million
# Matrix products work in small tiles, and the last, narrower tiles may add in another order: the same two vectors would
# then score differently in the last bit from place to place. Padding to full tiles with zeros makes most kernels add
# alike everywhere; some (OpenBLAS's for Haswell) do not even then, so items that are equal also get one score outright:
# a collapsed model must not be ranked by rounding.
_TILE_ROWS = 16


@dataclass(frozen=True)
class RankedBlock:
    """What is known of consecutive queries once they are ranked.

    rows: which queries. pessimistic, optimistic: ranks of their relevant items with ties against and for them; where
    only the top of the ranking was asked for, the pessimistic ranks up to K, twice.
    neighbors: int32 ``(queries, K)`` gallery positions in the caller's order, best first, -1 where there are no more;
    neighbor_labels: int64, their label numbers, -1 likewise; similarities: float32, NaN likewise. Equal similarities:
    not relevant before relevant, then by label, then by id (by gallery position where there are no ids).
    """

    rows: slice
    pessimistic: Ranks
    optimistic: Ranks
    neighbors: Neighbors
    neighbor_labels: Ints
    similarities: Scores


def rank_gallery(
    queries: Rows,
    gallery: Rows,
    layout: Layout,
    reduce: Callable[[RankedBlock], T],
    *,
    keep: int,
    full: bool = True,
    threads: int = 1,
    block_rows: int | None = None,
) -> list[T]:
    """Rank the gallery for every query by inner product and return what ``reduce`` makes of it, in query order.

    queries: q rows, gallery: N rows of the same dimension, in the caller's order. keep: K, neighbours a query, <= N.
    full: whether to rank the whole gallery, or only the first K.
    reduce: called once for every few consecutive queries, in several threads; its argument is not kept.
    block_rows: queries in one product, by default as many as give a buffer of about 32 MB (but at least one tile).
    """
    columns = grouped_columns(gallery, layout.order)
    copies, originals = equal_rows(len(columns), columns.take)
    padded = columns.padded
    step = block_rows or _block_rows(len(queries), padded, threads)
    own = threading.local()

    def start_thread() -> None:
        own.buffer = np.empty((_round_up(step, _TILE_ROWS), padded), dtype=np.float32)

    def work(rows: slice) -> list[T]:
        scores = _multiply(queries.take(rows), columns, own.buffer)[:, : layout.columns]
        if len(copies):
            scores[:, copies] = scores[:, originals]
        scores[layout.excluded_of(rows)] = -np.inf
        return [reduce(part) for part in _ranked(scores, layout, rows, keep, full)]

    blocks = [slice(first, min(first + step, len(queries))) for first in range(0, len(queries), step)]
    with threadpool_limits(limits=1, user_api="blas"):  # one level of threads: ours
        pool = ThreadPoolExecutor(threads, thread_name_prefix="rank", initializer=start_thread)
        try:
            return list(itertools.chain.from_iterable(pool.map(work, blocks)))
        finally:
            pool.shutdown(cancel_futures=True)


def _block_rows(queries: int, columns: int, threads: int) -> int:
    """Return how many queries to multiply at once: what fits in the buffer, but work for every thread; whole tiles."""
    fitting = max(_TILE_ROWS, _BUFFER_SCORES // columns // _TILE_ROWS * _TILE_ROWS)
    return min(fitting, _round_up(-(-queries // threads), _TILE_ROWS))


def _multiply(rows: Vectors, columns: Columns, buffer: Scores) -> Scores:
    """Return ``rows @ columns.T``, float32 ``(rows, N')``, written into the buffer."""
    tiled = np.zeros((_round_up(len(rows), _TILE_ROWS), rows.shape[1]), dtype=np.float32)
    tiled[: len(rows)] = rows
    for here, vectors in columns.chunks():
        np.matmul(tiled, vectors.T, out=buffer[: len(tiled), here])
    return buffer[: len(rows)]


def _ranked(scores: Scores, layout: Layout, rows: slice, keep: int, full: bool) -> Iterator[RankedBlock]:
    """Yield the block's queries, in parts whose ranks fit in a small memory."""
    for part in _parts(layout.relevant[rows] if full else np.full(rows.stop - rows.start, keep)):
        here = slice(rows.start + part.start, rows.start + part.stop)
        start, stop = layout.start[here], layout.stop[here]
        nearest, similarities = nearest_columns(scores[part], start, stop, keep)
        if full:
            pessimistic, optimistic = _all_ranks(scores[part], layout, here)
        else:
            pessimistic = optimistic = _top_ranks(nearest, layout, here)
        exists = nearest >= 0
        yield RankedBlock(
            rows=here,
            pessimistic=pessimistic,
            optimistic=optimistic,
            neighbors=np.where(exists, layout.order[nearest], -1).astype(np.int32),
            neighbor_labels=np.where(exists, layout.labels[nearest], -1),
            similarities=similarities,
        )


def _all_ranks(scores: Scores, layout: Layout, rows: slice) -> tuple[Ranks, Ranks]:
    offsets = np.concatenate(([0], np.cumsum(layout.relevant[rows]))).astype(np.int64)
    worst, best = count_block(scores, layout.start[rows], layout.stop[rows], offsets)
    pessimistic = Ranks(worst, offsets, layout.items[rows])
    return pessimistic, pessimistic if np.array_equal(worst, best) else Ranks(best, offsets, layout.items[rows])


def _top_ranks(nearest: Neighbors, layout: Layout, rows: slice) -> Ranks:
    """Return the pessimistic ranks that the nearest columns show: they stand with equal scores against the query."""
    relevant = (nearest >= layout.start[rows, None]) & (nearest < layout.stop[rows, None])
    place = np.nonzero(relevant)[1] + 1
    offsets = np.concatenate(([0], np.cumsum(relevant.sum(axis=1)))).astype(np.int64)
    return Ranks(place, offsets, layout.items[rows], layout.relevant[rows], depth=nearest.shape[1])


def _parts(relevant: Ints) -> Iterator[slice]:
    """Cut a block of queries so that each part has at most about 260,000 relevant items, or one query."""
    first, held = 0, 0
    for row, size in enumerate(relevant.tolist()):
        if row > first and held + size > _PART_RANKS:
            yield slice(first, row)
            first, held = row, 0
        held += size
    yield slice(first, len(relevant))


def _round_up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple
