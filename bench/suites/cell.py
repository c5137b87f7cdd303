"""One cell of a suite as a job for an executor: forked from the runner, or ``python -m bench.suites.cell``.

Code from outside simbench is imported so before this process does it: it may end or hold up whatever imports it.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from bench.config import Config, Settings
from bench.contract import (
    DataError,
    RunResult,
    RunSpec,
    SimbenchError,
    Workplace,
    from_jsonable,
    no_progress,
    to_jsonable,
)
from bench.devices import most_held
from bench.executors import child
from bench.executors.executor import LOG, TOLD, Ended, Limits, why_ended
from bench.executors.process import JobProcess, LocalPool
from bench.naming import canonical
from bench.options import build, values_of
from bench.plugins import KINDS, Kind
from bench.registry import Plugin, find_plugins, get_plugin, refuse, refused
from bench.runs.fitting import brought_by
from bench.runs.integrity import read_sealed, write_sealed
from bench.runs.provenance import provenance
from bench.runs.run import execute
from bench.runs.run_plan import as_in_run, chosen_data, load_collection
from bench.runs.sources import of_own_code
from bench.runs.store import CHECKPOINTS, RUN_FILE, RunRecord, locked, read_run, write_run
from bench.suites.expansion import SuiteCell

IMPORT_SECONDS = 30.0  # in which a plugin from outside simbench must be imported and made with its default options
_LOOK_EVERY = 0.05
_MODULE = "bench.suites.cell"
FACTS = "cell.json"  # in a run's folder: what its processes took, beside what they found
CARD = "card.json"  # likewise: what the one that finished it held of a card


def try_outside(texts: Sequence[str] | None = None) -> list[tuple[Kind, Plugin]]:
    """Import every plugin from outside simbench, or those named in some texts, each in a process of its own.

    What ends that process, or takes over 30 s, is refused from then on (`bench.registry.refuse`) with its reason. This
    process must not have computed on more than one thread, and must not from now on: its cells are forked from it.

    Args:
        texts: where names may stand, such as words of the command line; those in other words do no harm.

    Returns:
        Those plugins.
    """
    words = None if texts is None else canonical(" ".join(texts))
    outside = [(kind, one) for kind in KINDS for one in find_plugins(kind).values() if not one.own]
    found = [(kind, one) for kind, one in outside if words is None or one.name in words]
    if not found or sys.platform == "win32":
        return []
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="simbench-") as home:
        tries = []
        for number, (kind, plugin) in enumerate(found):
            folder = Path(home, str(number))
            folder.mkdir()
            tries.append((kind, plugin, folder, _start_import(kind, plugin.name, folder)))
        for kind, plugin, folder, process in tries:
            try:
                while (ended := process.check()) is None:
                    time.sleep(_LOOK_EVERY / 5)
            except BaseException:  # an interrupt too must leave no process behind
                process.kill()
                raise
            if not (folder / _IMPORTED).exists():
                refuse(kind, plugin.name, _why_refused(kind, plugin, ended))
    return found


_IMPORTED = "imported"  # the file that says so


def _start_import(kind: Kind, name: str, folder: Path) -> JobProcess:
    limits, log = Limits(IMPORT_SECONDS), folder / LOG
    if sys.platform == "linux":
        return JobProcess.forked(lambda: _import(kind, name, folder), limits, log)
    place = Workplace(folder, torch.device("cpu"), 1, no_progress, child.say)
    return JobProcess.spawned(child.job_text(_MODULE, place, {"kind": kind.decorator, "plugin": name}), limits, log)


def _import(kind: Kind, name: str, folder: Path) -> int:
    """Import a plugin, make what has options as commands do to know them, and leave a file that says so."""
    with suppress(Exception):  # raised here as well, and handled
        loaded = get_plugin(kind, name)
        if kind.options:
            values_of(loaded())
    (folder / _IMPORTED).touch()
    return 0


def _why_refused(kind: Kind, plugin: Plugin, ended: Ended) -> str:
    why = f"it took over {IMPORT_SECONDS:g} s" if ended.cause == "time" else why_ended(ended, Limits())
    return f"cannot import the {kind.word} {plugin.name} of {plugin.brought_by}: {why}"


def why_failed(cell: SuiteCell, ended: Ended, limits: Limits, *, tries: int = 2) -> str:
    """Return why a cell without a record failed, in one line: with whose code it is of where the code ended it."""
    why = why_ended(ended, limits, tries=tries)
    silent = ended.cause == "exit" and not ended.words.startswith(TOLD)
    return f"{why}: {brought_by(cell.spec)}" if silent and not of_own_code(cell.spec) else why


def run_apart(
    cells: Sequence[SuiteCell], place: Workplace, datasets: Mapping[str, Mapping[str, Any]]
) -> Iterator[RunRecord]:
    """Run cells one after another, each in a process of its own, and yield each record.

    datasets: the options that bench.toml gives. Raises SimbenchError where not even a failure can be recorded.
    """
    pool = LocalPool(CellProgram(replace(place, force=False), datasets), Limits())
    for cell in cells:
        folder = cell.folder(place.root)
        if not place.force and _has_result(folder):
            yield execute(cell.spec, cell.seed, cell.dataset, place)  # which returns it
            continue
        with locked(folder):
            if place.force:
                shutil.rmtree(folder, ignore_errors=True)
            sweep(cell, place)
        ended = _followed(pool, cell, folder, place.log)
        record = read_run(folder) or record_failure(cell, why_failed(cell, ended, Limits(), tries=1), ended, place)
        if record is None:
            raise SimbenchError(f"{folder / RUN_FILE} vanished while it was written")
        yield record


def _has_result(folder: Path) -> bool:
    """Whether a run's folder has a result, or a file in its place that nobody can read: nothing to run again."""
    try:
        record = read_run(folder)
    except SimbenchError:
        return True
    return record is not None and record.status == "done"


def _followed(pool: LocalPool[SuiteCell], cell: SuiteCell, folder: Path, tell: Callable[[str], None]) -> Ended:
    """Start a cell, tell what its log says meanwhile, and return how it ended."""
    log = folder / LOG
    log.touch()
    with log.open(encoding="utf-8", errors="replace") as lines:
        lines.seek(0, os.SEEK_END)
        pool.start(cell, folder)
        try:
            while not (ended := pool.ended()):
                time.sleep(_LOOK_EVERY)
                for line in lines:
                    tell(line.rstrip("\n"))
        finally:
            pool.stop()
    return ended[0][1]


def record_failure(cell: SuiteCell, reason: str, ended: Ended, place: Workplace) -> RunRecord | None:
    """Write a failed run, unless somebody has meanwhile run the cell, and return what is there then."""
    folder = cell.folder(place.root)
    with locked(folder):
        known = read_run(folder)
        if known is None:
            made_by = provenance(place.device, place.threads, cell.spec)
            result = RunResult.failed(
                cell.spec, cell.seed, cell.dataset, provenance=made_by, reason=reason, seconds=ended.seconds
            )
            write_run(folder, result)
    return known or read_run(folder)


def sweep(cell: SuiteCell, place: Workplace) -> None:
    """Take away what earlier tries have left: the record of a failure, and files that a kill cut off."""
    folder = cell.folder(place.root)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RUN_FILE).unlink(missing_ok=True)
    for partial in (*folder.glob(".*.tmp"), *folder.glob(f"{CHECKPOINTS}/.*.tmp")):
        partial.unlink(missing_ok=True)


@dataclass(frozen=True)
class CellProgram:
    """How pools run the cells of a suite, whose folders are their runs'. datasets: the options that bench.toml gives.

    A fresh process is given its cell as JSON, and loads the data again.
    """

    place: Workplace
    datasets: Mapping[str, Mapping[str, Any]]
    last = RUN_FILE
    scratch = CHECKPOINTS

    def as_json(self, cell: SuiteCell) -> str:
        facts = {
            "word": cell.word,
            "settings": asdict(cell.settings),
            "datasets": self.datasets,
            "spec": to_jsonable(cell.spec),
            "seed": cell.seed,
            "refused": refused(),
        }
        return child.job_text(_MODULE, self.place, facts)

    def run(self, cell: SuiteCell) -> int:
        """Run a cell and return the exit code: 0 done, 1 failed. Raises SimbenchError for what cannot be recorded."""
        place = replace(self.place, progress=no_progress, log=child.say)
        record = execute(cell.spec, cell.seed, cell.dataset, place)
        if held := most_held(place.device):
            write_sealed(record.folder / CARD, {"peak_card_bytes": held})
        return int(record.status != "done")


def held_in_memory(run: RunRecord) -> int:
    """Return how many bytes of memory a cell's processes held at most; 0 where nobody knows."""
    return _noted(run, FACTS, "peak_memory_bytes")


def held_on_card(run: RunRecord) -> int:
    """Return how many bytes of a card a cell's process held at most; 0 where it used none, or nobody knows."""
    return _noted(run, CARD, "peak_card_bytes")


def _noted(run: RunRecord, file: str, name: str) -> int:
    try:
        return int(read_sealed(run.folder / file)[name])
    except (OSError, DataError, ValueError, KeyError, TypeError):  # not run by the runner, or damaged
        return 0


def _loaded(job: Mapping[str, Any], place: Workplace) -> SuiteCell:
    settings: Settings = build(Settings, job["settings"], owner="[run]")
    spec = from_jsonable(RunSpec, job["spec"], "spec")
    cache = place.cache or Path(".")
    collection = load_collection(job["word"], Config(settings, datasets=job["datasets"]), no_progress, cache)
    data = as_in_run(chosen_data(collection, settings, place.cache), spec)
    if data is None:
        raise DataError(f"{job['word']}: other images or labels here than where the suite was started")
    return SuiteCell(spec, job["seed"], data, job["word"], settings)


def _serve(job: Mapping[str, Any], place: Workplace) -> int:
    if "plugin" in job:
        return _import(_kind_of(job["kind"]), job["plugin"], place.root)
    for decorator, name, reason in job["refused"]:
        refuse(_kind_of(decorator), name, reason)
    return CellProgram(place, job["datasets"]).run(_loaded(job, place))


def _kind_of(decorator: str) -> Kind:
    return next(kind for kind in KINDS if kind.decorator == decorator)


if __name__ == "__main__":
    child.serve(_serve)
