"""What a start of a suite will do: which cells, under which limits, and how long that should take."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from bench.config import Config, seconds
from bench.contract import Dataset, SimbenchError, UsageError, Workplace
from bench.devices import card_bytes
from bench.executors.executor import Limits
from bench.executors.memory import byte_count, machine_memory
from bench.executors.process import LocalPool
from bench.files import ensure_writable
from bench.naming import reason_of
from bench.runs.integrity import read_sealed, write_sealed
from bench.runs.run_plan import chosen_data, load_collection
from bench.runs.store import locked, read_run
from bench.suites.card_room import CardRoom
from bench.suites.cell import CellProgram
from bench.suites.cost_model import (
    Prediction,
    finished_costs,
    fitted_epochs,
    kind_of,
    predict,
    trial_limit,
    trial_place,
)
from bench.suites.expansion import SuiteCell, expand, with_epochs
from bench.suites.runner import Reporter, Runner
from bench.suites.suite import Suite, find_suite

PLANS = ".plans"  # below the runs: what a budget has led to, so that a second start follows it
_MEMORY_SHARE = 0.9  # of the machine's, divided among the cells that run at once
_TRIAL_SECONDS = 900.0


@dataclass(frozen=True)
class Asked:
    """What a start asks for beside the suite: cells at once, a time for all of them, and limits of one, as typed."""

    jobs: int = 1
    budget: str | None = None
    cell_time: str | None = None
    cell_memory: str | None = None
    predicted: bool = False  # whether trials may be made, so that every cell has its prediction
    here: bool = True  # whether cells run on this machine, whose memory is then shared among them


@dataclass(frozen=True)
class Plan:
    """The cells in their order, a prediction for each, a cell's limits.

    skipped: data that is not here, and why; note: what a budget has led to.
    """

    suite: Suite
    cells: tuple[SuiteCell, ...]
    predictions: tuple[Prediction, ...]
    limits: Limits
    skipped: tuple[str, ...]
    note: str = ""

    def finished(self, root: Path) -> list[bool]:
        """Return for each cell whether it is done already."""
        return [is_done(cell, root) for cell in self.cells]

    def card_room(self, device: torch.device, jobs: int) -> CardRoom:
        """Return the room that cells share on the card, ``jobs`` of them at once; without one, room for all."""
        pairs = zip(self.cells, self.predictions, strict=True)
        return CardRoom(card_bytes(device), jobs, {kind_of(cell.spec): one.card for cell, one in pairs})

    def seconds_left(self, root: Path, jobs: int) -> float:
        """Return the predicted wall seconds of what is not done; cells of which nothing is known count nothing."""
        pairs = zip(self.predictions, self.finished(root), strict=True)
        return sum(one.seconds for one, done in pairs if not done) / jobs


def plan_suite(name: str, config: Config, place: Workplace, asked: Asked, reporter: Reporter) -> Plan:
    """Return the plan of a suite. Raises UsageError for what does not fit, DataError without any data.

    From here on this process must not compute on more than one thread: its cells are forked from it.
    """
    torch.set_num_threads(1)
    suite = find_suite(config, name)
    limits = _limits(suite, asked)
    ensure_writable(place.root)
    cache = place.cache or Path(".")
    found = expand(suite, config, place.device.type, progress=place.progress, cache=cache)
    cells, note = found.cells, ""
    trials = Trials(config, place, limits, reporter)
    if asked.budget is not None:
        cells, note = _fitted(cells, place, asked, trials)
    known = predict(cells, place, trials.cut, trials.run) if asked.predicted else finished_costs(cells, place)
    return Plan(suite, cells, tuple(known), limits, found.skipped, note)


def _limits(suite: Suite, asked: Asked) -> Limits:
    said = asked.cell_memory or suite.keys.cell_memory
    try:
        time = seconds(asked.cell_time or suite.keys.cell_time)
        memory = byte_count(said) if said else int(machine_memory() * _MEMORY_SHARE / asked.jobs)
    except ValueError as error:
        raise UsageError(str(error)) from error
    return Limits(time, memory if said or asked.here else None)


def _fitted(
    cells: tuple[SuiteCell, ...], place: Workplace, asked: Asked, trials: Trials
) -> tuple[tuple[SuiteCell, ...], str]:
    """Return the cells with as many epochs as the budget allows, and a line that says so."""
    epochs, budget = cells[0].spec.budget.epochs, asked.budget or ""
    if epochs is None:
        raise UsageError("--budget cuts the suite's epochs, and it says none: add epochs = N to it")
    try:
        room = seconds(budget)
    except ValueError as error:
        raise UsageError(str(error)) from error
    facts = [budget, asked.jobs, place.threads, sorted(str(cell.folder(Path())) for cell in cells)]
    path = place.root / PLANS / f"{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]}.json"
    fits = _planned(path)
    if fits is None:
        left = [cell for cell in cells if not is_done(cell, place.root)]
        fits = fitted_epochs(predict(left, place, trials.cut, trials.run), room, asked.jobs, epochs)
        if fits != epochs:  # other epochs are other cells: those that are done must be run again, and count as well
            fits = fitted_epochs(predict(cells, place, trials.cut, trials.run), room, asked.jobs, epochs)
        fits = _agreed(path, {"budget": budget, "epochs": fits, "instead_of": epochs})
    if fits == epochs:
        return cells, f"budget {budget}: the suite fits with its {epochs:g} epochs"
    return with_epochs(cells, fits), f"budget {budget}: {fits:g} epochs instead of {epochs:g}, for every method"


def _agreed(path: Path, plan: Mapping[str, Any]) -> float:
    """Keep a plan, unless another start has made one meanwhile, and return the epochs that hold for both."""
    with locked(path.parent):
        fits = _planned(path)
        if fits is None:
            write_sealed(path, {**plan, "plan": path.stem})
            fits = float(plan["epochs"])
    return fits


def _planned(path: Path) -> float | None:
    try:
        kept = read_sealed(path)
        if kept["plan"] != path.stem:
            raise ValueError("it is another start's")
        return float(kept["epochs"])
    except FileNotFoundError:
        return None
    except (SimbenchError, ValueError, KeyError, TypeError) as error:
        raise SimbenchError(f"the plan of a budget, {path}: {reason_of(error)}; delete it to plan again") from error


def is_done(cell: SuiteCell, root: Path) -> bool:
    """Whether a cell's run is finished."""
    try:
        record = read_run(cell.folder(root))
    except SimbenchError:  # a file that is not ours; the runner says so
        return False
    return record is not None and record.status == "done"


@dataclass(frozen=True)
class Trials:
    """Makes the trials of a calibration: the cells on a small part of their data."""

    config: Config
    place: Workplace
    limits: Limits
    reporter: Reporter

    def cut(self, cell: SuiteCell) -> Dataset:
        """Return the small part of a cell's data."""
        settings = replace(cell.settings, limit=trial_limit(cell))
        config, cache = replace(self.config, settings=settings), self.place.cache or Path(".")
        collection = load_collection(cell.word, config, self.place.progress, cache)
        data = chosen_data(collection, settings, self.place.cache)
        return data if (size := cell.spec.resize) is None else data.at((size.height, size.width))

    def run(self, cells: Sequence[SuiteCell]) -> Mapping[Path, str]:
        """Run trials, and return why they failed for those that did, by folder."""
        self.reporter.tell(f"{len(cells)} short trials to predict from; they are made once")
        place = trial_place(self.place)
        limits = replace(self.limits, seconds=min(self.limits.seconds or _TRIAL_SECONDS, _TRIAL_SECONDS))
        executor = LocalPool(CellProgram(place, self.config.datasets), limits)
        outcomes = Runner(cells, place, executor, limits, self.reporter).run()
        return {one.cell.folder(place.root): one.why for one in outcomes if not one.done}
