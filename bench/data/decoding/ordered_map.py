"""A function over many items in threads, its results in order, with a bounded number of them waiting."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from bench.environment import processors

T = TypeVar("T")
R = TypeVar("R")

CHUNK = 32  # items a thread takes at a time: enough to hide the hand-over, little enough to bound what waits


def map_in_order(function: Callable[[T], R], items: Sequence[T], *, chunk: int = CHUNK) -> Iterator[R]:
    """Yield ``function(item)`` for every item, in order; memory does not grow with the number of items.

    chunk: items that a thread takes at a time.
    """
    workers = processors()
    chunks = (items[start : start + chunk] for start in range(0, len(items), chunk))

    def work(chunk: Sequence[T]) -> list[R]:
        return [function(item) for item in chunk]

    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    try:
        waiting: deque[Future[list[R]]] = deque(pool.submit(work, chunk) for chunk in islice(chunks, 2 * workers))
        while waiting:
            yield from waiting.popleft().result()
            waiting.extend(pool.submit(work, chunk) for chunk in islice(chunks, 1))
    finally:
        pool.shutdown(cancel_futures=True)
