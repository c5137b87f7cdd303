"""The one thread that runs all models, and takes what waits for the same run together."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from bench.contract import SimbenchError

logger = logging.getLogger(__name__)
R = TypeVar("R")

_MOST = 32  # questions taken together: more gain nothing on a processor


class RunFailedError(Exception):
    """A run cannot answer; the message is for whoever asked."""


class Models:
    """Runs work in one thread: torch uses the processors inside it, and no method has to be safe for several.

    With many clients, most time would go into embedding single pictures: 16 at once take a third of the time each (the
    default encoder, one core). So a question for a run waits in that run's queue, and the thread takes all of a queue.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="models")
        self._lock = threading.Lock()
        self._waiting: dict[Hashable, list[tuple[Any, Future[Any]]]] = {}

    async def alone(self, work: Callable[[], R]) -> R:
        """Return what the work returns. Raises RunFailedError."""
        return await asyncio.wrap_future(self._thread.submit(_explained, work))

    async def together(self, queue: Hashable, work: Callable[[Sequence[Any]], Sequence[R]], question: Any) -> R:
        """Return the answer to a question; ``work`` turns several of one queue into as many answers.

        Raises RunFailedError.
        """
        answer: Future[R] = Future()
        with self._lock:
            waiting = self._waiting.setdefault(queue, [])
            waiting.append((question, answer))
            first = len(waiting) == 1
        if first:
            self._thread.submit(self._take, queue, work)
        return await asyncio.wrap_future(answer)

    def wait_for(self, work: Callable[[], R]) -> R:
        """Return what the work returns, for another thread than that of the requests; it waits its turn."""
        return self._thread.submit(work).result()

    def stop(self) -> None:
        """Finish what is under way, and nothing that waits."""
        self._thread.shutdown(cancel_futures=True)

    def _take(self, queue: Hashable, work: Callable[[Sequence[Any]], Sequence[Any]]) -> None:
        with self._lock:
            waiting = self._waiting.pop(queue)
            if len(waiting) > _MOST:
                self._waiting[queue] = waiting[_MOST:]
                self._thread.submit(self._take, queue, work)
        # From here on an answer cannot be cancelled; one that was is wanted by nobody.
        taken = [(question, answer) for question, answer in waiting[:_MOST] if answer.set_running_or_notify_cancel()]
        try:
            answers = work([question for question, _ in taken]) if taken else []
        except Exception as error:
            if len(taken) == 1:
                taken[0][1].set_exception(_for_client(error))
                return
            for question, answer in taken:  # one of them is to blame
                try:
                    answer.set_result(work([question])[0])
                except Exception as own:
                    answer.set_exception(_for_client(own))
            return
        for (_, answer), found in zip(taken, answers, strict=True):
            answer.set_result(found)


def _explained(work: Callable[[], R]) -> R:
    try:
        return work()
    except Exception as error:
        raise _for_client(error) from error


def _for_client(error: Exception) -> RunFailedError:
    """Return what a client gets to read of an error; where it is none of our own, the log gets to see where it was."""
    if isinstance(error, SimbenchError):
        return RunFailedError(str(error))
    logger.error("a run failed over a question", exc_info=error)
    return RunFailedError("this run failed; the server's terminal says why")
