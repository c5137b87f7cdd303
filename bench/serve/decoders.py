"""Pictures of strangers, decoded in processes that may fail, hang and die without the server."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress

import numpy as np

from bench.contract import DataError, SimbenchError
from bench.data.decoding.block import READY
from bench.search.preparation import Preparation
from bench.serve.limits import Limits, RefusalError

PROGRAM = "import sys; sys.path[:] = {path!r}; from bench.serve.decoder_process import main; main({memory}, {pixels})"
_START_SECONDS = 60.0  # of a process on a busy machine

Pixels = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]


class _GoneError(Exception):
    """A process ended instead of answering."""


class _Decoder:
    """One process, started when it is first needed, and again after it has died."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._process: Process | None = None

    async def start(self) -> Process:
        if self._process is not None and self._process.returncode is not None:
            await self.stop()  # it died while it was idle: the next picture is not to blame
        if self._process is None:
            program = PROGRAM.format(path=sys.path, memory=self._limits.decoder_bytes, pixels=self._limits.pixels)
            one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # each thread takes address space
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", program, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env={**os.environ, **one_thread}
            )
            try:
                async with asyncio.timeout(_START_SECONDS):
                    _, out = _pipes(self._process)
                    if await out.readline() != READY:
                        raise SimbenchError("the process that decodes pictures cannot be started")
            except BaseException:  # cancelled too: a process that is half started serves nobody
                await self.stop()
                raise
        return self._process

    async def ask(self, data: bytes, preparation: Preparation) -> Pixels:
        """Return it, uint8 ``(height, width, 1 or 3)``. Raises RefusalError, _GoneError if the process dies."""
        process = await self.start()
        try:
            async with asyncio.timeout(self._limits.decode_seconds):
                return await self._answer(process, data, preparation)
        except RefusalError:
            raise  # the process did its work
        except TimeoutError:
            await self.stop()
            raise RefusalError(422, "the picture takes too long to decode") from None
        except BaseException:  # half an answer may be in the pipe
            await self.stop()
            raise

    async def _answer(self, process: Process, data: bytes, preparation: Preparation) -> Pixels:
        into, out = _pipes(process)
        shape = preparation.shape
        task = {
            "bytes": len(data),
            "height": shape.height,
            "width": shape.width,
            "resize": preparation.resize,
            "value_range": preparation.value_range,
        }
        try:
            into.write(json.dumps(task).encode() + b"\n" + data)
            await into.drain()
            line = await out.readline()
            if not line.endswith(b"\n"):
                raise _GoneError
            head = json.loads(line)
            if "reason" in head:
                raise RefusalError(422, f"the picture cannot be read: {head['reason']}")
            height, width, channels = head["shape"]
            body = await out.readexactly(height * width * channels)
        except (ConnectionError, asyncio.IncompleteReadError):
            raise _GoneError from None
        return np.frombuffer(body, np.uint8).reshape(height, width, channels)

    async def stop(self) -> None:
        """End the process at once; what it was doing is of no use to anybody."""
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):  # it has ended by itself
                process.kill()
            await process.wait()


class Decoders:
    """A few decoding processes; a picture waits for the next idle one."""

    def __init__(self, count: int, limits: Limits) -> None:
        self._wait = limits.decoder_wait_seconds
        self._all = [_Decoder(limits) for _ in range(count)]
        self._idle: asyncio.Queue[_Decoder] = asyncio.Queue()
        for decoder in self._all:
            self._idle.put_nowait(decoder)

    async def start(self) -> None:
        """Start all processes now, so that the first picture does not wait for that."""
        await asyncio.gather(*(decoder.start() for decoder in self._all))

    async def prepare(self, data: bytes, preparation: Preparation) -> Pixels:
        """Return a picture's bytes as an image that the runs take, uint8 ``(height, width, channels)``.

        Raises RefusalError for what is no picture, or one that takes too much memory or time, and with 503 where no
        process becomes idle in time.
        """
        try:
            async with asyncio.timeout(self._wait):
                decoder = await self._idle.get()
        except TimeoutError:
            raise RefusalError(503, "too many pictures wait to be decoded; try again") from None
        try:
            picture = await decoder.ask(data, preparation)
        except _GoneError:
            raise RefusalError(422, "the picture cannot be read: the decoder crashed on it") from None
        finally:
            self._idle.put_nowait(decoder)
        if picture.shape[2] == preparation.shape.channels:
            return picture
        try:
            return preparation.array(picture)  # of the right size, so that only its channels change
        except DataError as error:
            raise RefusalError(422, f"the picture cannot be read: {error}") from error

    async def stop(self) -> None:
        for decoder in self._all:
            await decoder.stop()


def _pipes(process: Process) -> tuple[asyncio.StreamWriter, asyncio.StreamReader]:
    if process.stdin is None or process.stdout is None:
        raise _GoneError
    return process.stdin, process.stdout
