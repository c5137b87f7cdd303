"""One cell in a process of its own: forked from the runner, or ``python -m bench.runs.cell`` with its job as JSON.

Forking takes milliseconds where a fresh interpreter takes seconds to import torch, and it inherits the data. A fresh
one is for GPUs, whose drivers do not survive a fork, for systems other than Linux, and for other machines.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from bench.config import Config, Settings
from bench.contract import Budget, DataError, RunSpec, SimbenchError
from bench.options import build
from bench.runs.expansion import SuiteCell
from bench.runs.matrix import chosen_data, load_collection
from bench.runs.memory import WATCHED
from bench.runs.run import Workplace, execute

T = TypeVar("T")

INTERRUPTED = 130
TOLD = "simbench: "  # how the last line of a log begins where it says why there is no record
_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG of linux/prctl.h
_LOOK_EVERY = 1.0  # seconds between looks whether the parent lives, where the kernel does not tell


def fork_cell(cell: SuiteCell, place: Workplace, log: Path) -> int:
    """Start a cell in a forked process and return its number; ``log`` gets what it prints.

    The caller must not have run torch or OpenMP code on more than one thread: their pools do not survive a fork.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    gc.freeze()  # a collection in the child would touch, and so copy, every page
    parent = os.getpid()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        settle(parent, log)
        code = work(cell, place)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BaseException as error:  # nothing may get back into the runner's own stack
        traceback.print_exc()
        _say(f"{TOLD}{type(error).__name__}: {error}")
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def work(cell: SuiteCell, place: Workplace) -> int:
    """Run a cell and return the exit code: 0 done, 1 failed. What could not be recorded is the last line printed."""
    try:
        record = execute(cell.spec, cell.seed, cell.dataset, replace(place, progress=unseen, log=_say))
    except SimbenchError as error:
        _say(f"{TOLD}{error}")
        return error.exit_code
    return int(record.status != "done")


def as_job(cell: SuiteCell, place: Workplace, datasets: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a cell as the JSON that ``main`` reads. datasets: the options that bench.toml gives to data sets."""
    job = {
        "word": cell.word,
        "settings": asdict(cell.settings),
        "datasets": datasets,
        "spec": asdict(cell.spec),
        "seed": cell.seed,
        "root": str(place.root.absolute()),
        "cache": None if place.cache is None else str(place.cache.absolute()),
        "device": str(place.device),
        "threads": place.threads,
        "command": sys.argv,
    }
    return json.dumps(job)


def main() -> None:
    """Run the cell whose job is on stdin, in the session that the parent has made for it."""
    die_with(os.getppid())
    job = json.load(sys.stdin)
    sys.argv = job["command"]  # a run's provenance names what the user typed
    place = Workplace(
        Path(job["root"]),
        torch.device(job["device"]),
        job["threads"],
        unseen,
        _say,
        cache=None if job["cache"] is None else Path(job["cache"]),
    )
    torch.set_num_threads(place.threads)
    try:
        cell = _loaded(job, place)
    except SimbenchError as error:
        _say(f"{TOLD}{error}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    sys.exit(work(cell, place))


def settle(parent: int, log: Path) -> None:
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


def unseen(items: Iterable[T], *, total: int, what: str) -> Iterable[T]:
    """Show no progress: a log file is no terminal."""
    del total, what
    return items


def _loaded(job: Mapping[str, Any], place: Workplace) -> SuiteCell:
    settings: Settings = build(Settings, job["settings"], owner="[run]")
    said = job["spec"]
    phases = said["budget"]["phases"]
    budget = Budget(**{**said["budget"], "phases": None if phases is None else tuple(phases)})
    spec = RunSpec(**{**said, "budget": budget, "ks": tuple(said["ks"])})
    cache = place.cache or Path(".")
    collection = load_collection(job["word"], Config(settings, datasets=job["datasets"]), unseen, cache)
    data = chosen_data(collection, settings, place.cache)
    if data.fingerprint != spec.fingerprint:
        raise DataError(f"{job['word']}: other images or labels here than where the suite was started")
    return SuiteCell(spec, job["seed"], data, job["word"], settings)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")  # the cell's log file
    sys.stderr.flush()


def _look_for(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
