"""A job's process as it sees itself: forked from the runner, or ``python -m MODULE`` with the job as JSON on stdin.

Forking takes milliseconds where a fresh interpreter takes seconds to import torch, and it inherits the data. A fresh
one is for GPUs, whose drivers do not survive a fork, for systems other than Linux, and for other machines.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import torch

from bench.contract import SimbenchError, Workplace, no_progress
from bench.environment import plugin_folders
from bench.executors.executor import TOLD, Ended
from bench.executors.memory import WATCHED

INTERRUPTED = 130
GONE_ON = "done"  # the words of a process's end that came after its work
_PASSED_ON = {signal.SIGINT, signal.SIGTERM, *({signal.SIGHUP} if sys.platform != "win32" else ())}
_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG of linux/prctl.h
_LOOK_EVERY = 1.0  # seconds between looks whether the parent lives, where the kernel does not tell


def fork(run: Callable[[], int], log: Path) -> int:
    """Call ``run`` in a forked process, which ends with the code it returns, and return the process's number.

    ``log`` gets what it prints. The caller must not have run torch or OpenMP code on more than one thread: their pools
    do not survive a fork.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    gc.freeze()  # a collection in the child would touch, and so copy, every page
    parent = os.getpid()
    child = os.fork()
    if child:
        return child

    def settled() -> int:
        _settle(parent, log)
        return run()

    code = 1
    try:
        code = _ended(settled)  # nothing may get back into the runner's own stack
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def go_on_in_child() -> tuple[Ended | None, Callable[[], None]]:
    """Fork; the child goes on with what this process was doing, and this one waits for its end and passes signals on.

    The caller must not have run torch or OpenMP code on more than one thread. The child has the streams of this one.

    Returns:
        In the child: None, and what it has to call when its work is done, in success or failure. Here, when it has
        ended: how, its words being `GONE_ON` if it had called that, and nothing to call.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    gc.freeze()
    parent, (reading, writing) = os.getpid(), os.pipe()
    child = os.fork()
    if not child:
        os.setpgid(0, 0)  # Ctrl-C reaches it once, through the parent
        die_with(parent)
        os.close(reading)
        return None, lambda: _say_done(writing)
    os.close(writing)
    for number in _PASSED_ON:
        signal.signal(number, lambda number, _: os.kill(child, number))
    began = time.monotonic()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    said = os.read(reading, 64).decode() if select.select([reading], [], [], 0)[0] else ""  # its own children may live
    for number in _PASSED_ON:
        signal.signal(number, signal.SIG_DFL)
    if -code in _PASSED_ON:
        os.kill(parent, -code)
    return Ended("exit" if code >= 0 else "signal", abs(code), time.monotonic() - began, 0, said), lambda: None


def _say_done(pipe: int) -> None:
    os.write(pipe, GONE_ON.encode())
    os.close(pipe)


def job_text(module: str, place: Workplace, facts: Mapping[str, Any]) -> str:
    """Return a job as the JSON that ``serve`` reads. module: the one that serves it; facts: what else it must know."""
    job = {
        "module": module,
        "root": str(place.root.absolute()),
        "cache": None if place.cache is None else str(place.cache.absolute()),
        "device": str(place.device),
        "threads": place.threads,
        "tensorboard": place.tensorboard,
        "command": sys.argv,
        "plugins": plugin_folders(),
        **facts,
    }
    return json.dumps(job)


def serve(run: Callable[[Mapping[str, Any], Workplace], int]) -> NoReturn:
    """Run the job that is on stdin, in the session that the parent has made for it, and exit with the code it returns.

    run: given the JSON and the place that it names.
    """
    die_with(os.getppid())
    job = json.load(sys.stdin)
    os.environ.update(job["plugins"])
    sys.argv = job["command"]  # a run's provenance names what the user typed
    place = Workplace(
        Path(job["root"]),
        torch.device(job["device"]),
        job["threads"],
        no_progress,
        say,
        cache=None if job["cache"] is None else Path(job["cache"]),
        tensorboard=job["tensorboard"],
    )
    torch.set_num_threads(place.threads)
    sys.exit(_ended(lambda: run(job, place)))


def die_with(parent: int) -> None:
    """See to it that this process ends when its parent does, however that ends; and before it, if memory runs out."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", "ascii")
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGKILL)
    else:
        threading.Thread(target=_look_for, args=(parent,), daemon=True).start()
    if os.getppid() != parent:  # it died before it was listened for
        os.kill(os.getpid(), signal.SIGKILL)


def limit_memory(amount: int | None) -> Callable[[], None] | None:
    """Return what sets a memory limit where nobody can watch: to be called in the child, before its program starts."""
    if amount is None or WATCHED:
        return None

    def limit() -> None:
        import resource  # noqa: PLC0415 - not on every system

        for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
            with suppress(OSError, ValueError):  # macOS knows the first by name only
                resource.setrlimit(kind, (amount, amount))

    return limit


def say(line: str) -> None:
    """Write a line to the job's log file."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _ended(run: Callable[[], int]) -> int:
    """Return the exit code; why there is no result is the last line printed."""
    try:
        return run()
    except KeyboardInterrupt:
        return INTERRUPTED
    except SimbenchError as error:
        say(f"{TOLD}{error}")
        return error.exit_code
    except BaseException as error:  # a plugin may raise anything, even SystemExit
        traceback.print_exc()
        say(f"{TOLD}{type(error).__name__}: {error}")
        return 1


def _settle(parent: int, log: Path) -> None:
    """Make a forked process independent of the runner's terminal, signals and streams, but not of its life."""
    os.setsid()
    die_with(parent)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    nothing = os.open(os.devnull, os.O_RDONLY)
    written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for source, stream in ((nothing, 0), (written, 1), (written, 2)):
        os.dup2(source, stream)


def _look_for(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY)
    os.killpg(0, signal.SIGKILL)
