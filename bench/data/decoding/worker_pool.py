"""Work on many files at once: worker processes that fill blocks, one a processor, and threads for what is brief.

A file that crashes a decoder costs only itself.

Of 32x32 JPEG files, two processes decode 5,500 a second and two threads 2,900 to 4,100, which wait for each other's
interpreter; of photographs they are equally fast, but for the start. Started as fresh interpreters, not forked and not
through `multiprocessing`: neither the threads that torch has started nor a script without ``if __name__ ==
"__main__"`` is in their way.
"""

from __future__ import annotations

import json
import logging
import queue
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from itertools import islice
from typing import TypeVar

from bench.data.decoding.block import READY, Outcome, Task, fill_block
from bench.environment import processors

logger = logging.getLogger(__name__)

PROGRAM = "import sys; sys.path[:] = {path!r}; from bench.data.decoding.block import main; main()"
CRASHED = "the decoder crashed on it"


class _GoneError(Exception):
    """A worker ended instead of answering."""


class _NotStartedError(Exception):
    """No worker process can be had here."""


class _Worker:
    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, task: Task) -> Outcome:
        """Have a task done. Raises _GoneError if the process ends over it, OSError if the pixels cannot be written."""
        process = self._started()
        if process.stdin is None or process.stdout is None:
            raise _GoneError
        try:
            process.stdin.write(json.dumps(asdict(task)).encode() + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line.endswith(b"\n"):
            self.stop()
            raise _GoneError
        answer = json.loads(line)
        if "error" in answer:
            raise OSError(answer["errno"], answer["error"])
        return Outcome.from_json(answer)

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            try:
                self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and program
                    [sys.executable, "-c", PROGRAM.format(path=sys.path)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,  # libtiff and others print what they think of a file
                )
            except OSError as error:  # no process, or no memory for one, is left
                raise _NotStartedError from error
            if self._process.stdout is None or self._process.stdout.readline() != READY:
                self.stop()
                raise _NotStartedError
        return self._process

    def stop(self) -> None:
        """End the process at once; what it was doing is of no use to anybody."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    try:
                        pipe.close()
                    except BrokenPipeError:  # it held half a task
                        logger.debug("worker %d left half a task", process.pid)
            process.wait()


class WorkerPool:
    """As many workers as there are threads that ask."""

    def __init__(self, workers: int) -> None:
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        self._all = [_Worker() for _ in range(workers)]
        for worker in self._all:
            self._idle.put(worker)

    def fill(self, task: Task) -> Outcome:
        """Have a task done by the next idle worker; a file that ends its worker is reported as broken."""
        worker = self._idle.get()
        try:
            try:
                return worker.ask(task)
            except _GoneError:
                return self._carefully(worker, task)
        except _NotStartedError:
            logger.debug("worker processes cannot be started; decoding in threads")
            return fill_block(task)
        finally:
            self._idle.put(worker)

    def _carefully(self, worker: _Worker, task: Task) -> Outcome:
        """Try the files one by one, then do the task without those that end the worker."""
        lost = dict(task.lost)
        step = task.frame.bytes
        for position, source in enumerate(task.sources):
            alone = replace(task, offset=task.offset + position * step, sources=(source,), lost={})
            try:
                worker.ask(alone)
            except _GoneError:
                lost[position] = CRASHED
        try:
            return worker.ask(replace(task, lost=lost))
        except _GoneError:  # it was not a file: somebody ends our workers
            return fill_block(replace(task, lost=lost))

    def close(self) -> None:
        for worker in self._all:
            worker.stop()


T = TypeVar("T")
R = TypeVar("R")

CHUNK = 32  # items a thread takes at a time: enough to hide the hand-over, little enough to bound what waits


def map_in_order(
    function: Callable[[T], R], items: Sequence[T], *, chunk: int = CHUNK, threads: int | None = None
) -> Iterator[R]:
    """Yield ``function(item)`` for every item, worked out in threads, in order.

    chunk: items that a thread takes at a time; threads: by default one a processor. Memory does not grow with the
    number of items.
    """
    workers = threads or processors()
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
