"""The record of a cell whose process could not write one itself, and the words for why."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from bench.runs.executors.child import TOLD
from bench.runs.executors.executor import Ended, Limits
from bench.runs.expansion import SuiteCell
from bench.runs.memory import in_words
from bench.runs.provenance import provenance
from bench.runs.run import Workplace
from bench.runs.store import CHECKPOINTS, RUN_FILE, RunRecord, locked, read_run, run_head, write_json

FACTS = "cell.json"  # in a run's folder: what its processes took, beside what they found

# What a program brings upon itself; any other signal came from outside.
_CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL}


def from_outside(ended: Ended) -> bool:
    """Whether a process died of a cause outside it: worth one more try."""
    return ended.cause in ("lost", "oom") or (ended.cause == "signal" and ended.code not in _CRASHES)


def reason_of(ended: Ended, limits: Limits) -> str:
    """Return why a cell without a record failed, in one line."""
    held, most = in_words(ended.peak), in_words(limits.memory or 0)
    crashed = ended.code in _CRASHES
    said = ended.words.removeprefix(TOLD) if ended.words.startswith(TOLD) else ""
    return {
        "time": f"timed out after {ended.seconds:.0f} s, the limit is {limits.seconds or 0:g} s (--cell-time)",
        "memory": f"out of memory: it held {held}, the limit is {most} (--cell-memory)",
        "oom": f"out of memory: the system had none left and killed it, twice; it held {held}",
        "lost": f"its machine was lost, twice: {ended.words or 'no reason known'}",
        "signal": f"crashed ({_name(ended.code)})" if crashed else f"killed from outside, twice ({_name(ended.code)})",
        "exit": said or f"ended without a result (exit code {ended.code})",
    }[ended.cause]


def record_failure(cell: SuiteCell, reason: str, ended: Ended, place: Workplace) -> RunRecord | None:
    """Write a failed run, unless somebody has meanwhile run the cell, and return what is there then."""
    folder = cell.folder(place.root)
    with locked(folder):
        known = read_run(folder)
        if known is None:
            write_json(folder / RUN_FILE, _content(cell, reason, ended, place))
    return known or read_run(folder)


def sweep(cell: SuiteCell, place: Workplace) -> None:
    """Take away what earlier tries have left: the record of a failure, and files that a kill cut off."""
    folder = cell.folder(place.root)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RUN_FILE).unlink(missing_ok=True)
    for partial in (*folder.glob(".*.tmp"), *folder.glob(f"{CHECKPOINTS}/.*.tmp")):
        partial.unlink(missing_ok=True)


def _content(cell: SuiteCell, reason: str, ended: Ended, place: Workplace) -> Mapping[str, Any]:
    return {
        **run_head(cell.spec, cell.seed, "failed"),
        "reason": reason,
        "seconds": ended.seconds,
        "provenance": provenance(place.device, place.threads),
    }


def _name(number: int) -> str:
    with suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"
