"""The exact ranking of the whole gallery for every query, a block of queries at a time.

No matrix of all scores is ever made: a block of queries is ranked (``backend``: whole rows on the CPU; ``streaming``:
windows of a gallery too large to hold; ``gpu``), handed to the caller's ``reduce``, and forgotten. Given the scores,
ranks are exact whole numbers, whatever the block size and the number of threads.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from bench.contract import UsageError
from bench.environment import blas_threads, processors
from bench.evaluation.ranking.backend import TILE_ROWS, Problem, RankedBlock, Ranker, round_up
from bench.evaluation.ranking.relevance import Layout
from bench.evaluation.ranking.streaming import Windows, window_rows
from bench.evaluation.ranking.vectors import Rows
from bench.evaluation.ranking.whole_rows import WholeRows, fitting_rows

if TYPE_CHECKING:
    from bench.evaluation.ranking.gpu import OnDevice

T = TypeVar("T")
_MOST_THREADS = 8  # each has a buffer of 64 to 128 MB


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
    device: str = "cpu",
) -> list[T]:
    """Rank the gallery for every query by inner product and return what ``reduce`` makes of it, in query order.

    queries: q rows, gallery: N rows of the same dimension, in the caller's order. keep: K, neighbours a query, <= N.
    full: whether to rank the whole gallery, or only the first K.
    reduce: called once for every few consecutive queries, in several threads; its argument is not kept.
    block_rows: queries ranked at once, by default as many as fit in a buffer of bounded size.
    device: "cpu", or a torch device, where one thread ranks.
    """
    problem = Problem.of(queries, gallery, layout, keep=keep, full=full)
    threads = threads if device == "cpu" else 1
    step, make = _ranker(problem, device)
    step = block_rows or min(step, round_up(-(-len(queries) // threads), TILE_ROWS))  # work for every thread
    own = threading.local()

    def start_thread() -> None:
        own.ranker = make(step)

    def work(rows: slice) -> list[T]:
        ranker: Ranker = own.ranker
        return [reduce(part) for part in ranker.ranked(rows)]

    return list(itertools.chain.from_iterable(_in_threads(work, len(queries), step, threads, start_thread)))


def rank_without(
    problem: Problem,
    layouts: Sequence[Layout],
    reduce: Callable[[RankedBlock], T],
    *,
    threads: int = 1,
    device: str = "cpu",
) -> list[list[T]]:
    """Rank the gallery as ``rank_gallery`` does once for each layout, multiplying the vectors only once.

    layouts: the problem's own but for the columns that are left out. Returns for each of them what ``reduce`` makes of
    its blocks, in query order. Whole rows of scores are held for at least 16 queries at once, however long they are.
    """
    threads = threads if device == "cpu" else 1
    step, make = _whole_rows(problem, device)
    step = max(TILE_ROWS, min(step, round_up(-(-len(problem.queries) // threads), TILE_ROWS)))

    def work(rows: slice) -> list[tuple[int, T]]:
        return [(place, reduce(block)) for place, block in make(step).ranked_without(rows, layouts)]

    found: list[list[T]] = [[] for _ in layouts]
    for place, reduced in itertools.chain.from_iterable(_in_threads(work, len(problem.queries), step, threads)):
        found[place].append(reduced)
    return found


def check_threads(threads: int | None) -> int:
    """Return how many threads to use: as asked, or one a processor but at most 8."""
    if threads is None:
        return min(_MOST_THREADS, processors())
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise UsageError(f"threads must be a whole number above 0, got {threads!r}")
    return threads


def _in_threads(
    work: Callable[[slice], T], queries: int, step: int, threads: int, start: Callable[[], None] | None = None
) -> list[T]:
    """Return what is made of each block of ``step`` queries, in their order. start: called once in every thread."""
    blocks = [slice(first, min(first + step, queries)) for first in range(0, queries, step)]
    with blas_threads(1):  # one level of threads: ours
        pool = ThreadPoolExecutor(threads, thread_name_prefix="rank", initializer=start)
        try:
            return list(pool.map(work, blocks))
        finally:
            pool.shutdown(cancel_futures=True)


def _ranker(problem: Problem, device: str) -> tuple[int, Callable[[int], Ranker]]:
    """Return how many queries to rank at once, and what makes a thread's ranker for that many."""
    several = 0 if device != "cpu" or problem.columns.held is not None else window_rows(problem)
    if several > fitting_rows(problem):
        return several, lambda _: Windows(problem)
    return _whole_rows(problem, device)


def _whole_rows(problem: Problem, device: str) -> tuple[int, Callable[[int], WholeRows | OnDevice]]:
    """Return the same for rankers that have all scores of a query at once."""
    if device == "cpu":
        return fitting_rows(problem), lambda step: WholeRows(problem, step)
    from bench.evaluation.ranking.gpu import OnDevice  # noqa: PLC0415 - torch takes seconds

    on_device = OnDevice(problem, device)
    return on_device.fitting_rows(), lambda _: on_device
