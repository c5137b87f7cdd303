"""How long cells will take and what they will hold: from finished runs where there are any, else from short trials.

A trial is the cell itself on a small part of its data and a few epochs long; it is kept in the cache, and so made once.
Training is scaled by steps, embedding by images, ranking by pairs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from bench.contract import SCHEMA, DataError, Dataset, RunSpec, UsageError, Workplace, to_jsonable
from bench.runs.artifacts import read_history
from bench.runs.provenance import cpu_name
from bench.runs.store import RunRecord, all_runs
from bench.suites.cell import held_in_memory, held_on_card
from bench.suites.expansion import SuiteCell

TRIALS = "calibration"  # in the cache, where nobody takes a trial for a result
TRIAL_IMAGES = 512  # of train and of test: seconds, even for the slowest method ...
TRIAL_EPOCHS = 0.1  # of small data an epoch has 200 steps: 20 tell a step's time, and every phase has its share
SMALL = 96  # pixels; where a network sees larger images, which take seconds a step, a quarter of both is enough
_SHARE = 0.9  # of a budget that is planned for: predictions are that uncertain
_TIMED, _COUNTED = {"fit_seconds", "embed_seconds"}, {"train", "query", "gallery"}  # what is scaled
_PAIR_SECONDS = 2e-8  # to rank one more pair: 2 s for 10,000 x 10,000 on one core of an AMD EPYC


@dataclass(frozen=True)
class Prediction:
    """What a cell will take: wall seconds whatever its training, seconds an epoch, epochs; bytes held at most.

    memory: 0 where unknown; card: of a card's memory, 0 where unknown or without one; source: ``runs``, ``trial``, or
    the reason why nothing is known.
    """

    fixed: float = 0.0
    per_epoch: float = 0.0
    epochs: float = 0.0
    memory: int = 0
    source: str = ""
    card: int = 0

    @property
    def known(self) -> bool:
        return self.source in ("runs", "trial")

    @property
    def seconds(self) -> float:
        return self.fixed + self.per_epoch * self.epochs


Trials = Callable[[Sequence[SuiteCell]], Mapping[Path, str]]


def predict(
    cells: Sequence[SuiteCell], place: Workplace, small: Callable[[SuiteCell], Dataset], run_trials: Trials
) -> list[Prediction]:
    """Return one prediction a cell, making the trials that are missing.

    small: cuts a cell's data to a trial's; run_trials: runs cells in ``trial_place(place)``, and returns for
    those that failed why, by folder.
    """
    home = trial_place(place).root
    known, tried = _by_kind(all_runs(place.root), place), _by_kind(all_runs(home), place)
    cuts: dict[tuple[object, ...], Dataset] = {}
    trials: list[SuiteCell | None] = []  # one a cell; None where its own kind's runs say it all
    for cell in cells:
        if any(held_in_memory(record) for record in known.get(kind_of(cell.spec), [])):
            trials.append(None)
            continue
        where = (cell.spec.fingerprint, cell.spec.protocol, cell.spec.resize)
        if where not in cuts:
            cuts[where] = small(cell)
        trials.append(_trial_of(cell, cuts[where]))
    missing = {one.folder(home): one for one in trials if one is not None and kind_of(one.spec) not in tried}
    failed = run_trials(list(missing.values())) if missing else {}
    tried = _by_kind(all_runs(home), place)
    found = []
    for cell, trial in zip(cells, trials, strict=True):
        there = tried.get(kind_of(trial.spec), []) if trial is not None else []
        reason = failed.get(trial.folder(home), "its trial failed before") if trial is not None else ""
        found.append(_prediction(cell, known.get(kind_of(cell.spec), []), there, reason))
    return found


def finished_costs(cells: Sequence[SuiteCell], place: Workplace) -> list[Prediction]:
    """Return what finished runs alone let expect, for a progress view: nothing is tried."""
    known = _by_kind(all_runs(place.root), place)
    return [_prediction(cell, known.get(kind_of(cell.spec), []), [], "not run before") for cell in cells]


def trial_place(place: Workplace) -> Workplace:
    """Return where trials run: apart for each processor and number of threads, whose times are no others'."""
    made_on = sha256(f"{SCHEMA} {cpu_name()} {place.device.type} {place.threads}".encode()).hexdigest()[:10]
    return replace(place, root=(place.cache or place.root) / TRIALS / made_on)


def fitted_epochs(predictions: Sequence[Prediction], seconds: float, slots: int, epochs: float) -> float:
    """Return how many of the epochs fit into ``seconds`` on ``slots`` processes, the same for every cell.

    Rounded down to two digits; all of them where they fit. Raises UsageError where not even a tenth of an epoch does.
    """
    room = _SHARE * seconds * slots
    fixed = sum(one.fixed for one in predictions)
    slope = sum(one.per_epoch for one in predictions)
    if fixed + slope * epochs <= room or slope == 0:
        return epochs
    fits = (room - fixed) / slope
    if fits < 0.1:
        need = (fixed + 0.1 * slope) / _SHARE / slots
        raise UsageError(
            f"the suite needs {need / 60:.0f} minutes even with a tenth of an epoch; give a larger --budget"
        )
    step = 0.1 if fits < 10 else 1.0
    return round(fits // step * step, 1)


def _prediction(cell: SuiteCell, runs: Sequence[RunRecord], trials: Sequence[RunRecord], reason: str) -> Prediction:
    memory = max((held_in_memory(record) for record in runs), default=0)
    if not memory and trials:
        memory = max(held_in_memory(record) for record in trials) + _more_vectors(cell, trials[-1])
    card = max(map(held_on_card, runs or trials), default=0)
    if card and not runs:
        card += _more_vectors(cell, trials[-1]) + _more_pixels(cell, trials[-1])
    if runs:
        costs = [_cost(cell, record) for record in runs]
        middle = sorted(costs, key=lambda cost: cost.seconds)[len(costs) // 2]
        return replace(middle, memory=memory, card=card, source="runs")
    if trials:
        return replace(_cost(cell, trials[-1]), memory=memory, card=card, source="trial")
    return Prediction(source=reason)


def _cost(cell: SuiteCell, record: RunRecord) -> Prediction:
    """Return what a finished run says of a cell of the same kind, with as many images or more."""
    run, data = record.result, cell.dataset
    stages, counts = run.timings, run.data.counts
    learnt = len(data.train) / max(counts["train"], 1)
    asked = (len(data.query) + len(data.gallery)) / max(counts["query"] + counts["gallery"], 1)
    pairs = len(data.query) * len(data.gallery) - counts["query"] * counts["gallery"]
    curve = _Curve.of(record)
    fit = stages["fit_seconds"]
    if not curve.epochs:  # closed form, or features of a sample
        sample = cell.spec.options.get("sample")
        fit *= min(learnt, max(1.0, sample / max(counts["train"], 1))) if sample else learnt
    scaled = {"embed_seconds": asked, "decode_seconds": asked}
    wall = [name for name in stages if name != "fit_cpu_seconds"]
    fixed = (
        (max(0.0, fit - curve.seconds) + curve.before * (learnt - 1) if curve.epochs else fit)
        + sum(stages[name] * scaled.get(name, 1.0) for name in wall if name != "fit_seconds")
        + pairs * _PAIR_SECONDS / run.provenance.threads
        + max(0.0, run.seconds - sum(stages[name] for name in wall))  # the audit, and writing it all
    )
    if not curve.epochs:
        return Prediction(fixed)
    epochs = min(curve.epochs, run.spec.budget.epochs or curve.epochs)
    per_epoch = curve.seconds / epochs
    if learnt > 1:
        # An epoch is one pass over the data, but never shorter than the trial's.
        batch = cell.spec.options.get("batch_size")
        passes = len(data.train) / batch / (curve.steps / epochs) if batch and curve.steps else learnt
        per_image = stages["embed_seconds"] / max(counts["query"] + counts["gallery"], 1)
        per_epoch = per_epoch * max(1.0, passes) + per_image * len(data.validation)
    return Prediction(fixed, per_epoch, _epochs(cell, per_epoch))


def _epochs(cell: SuiteCell, per_epoch: float) -> float:
    """Return the epochs that a cell is given: by its budget, or by its method's own options."""
    budget = cell.spec.budget
    if budget.epochs is not None:
        return budget.epochs
    if budget.seconds is not None:
        return budget.seconds / per_epoch
    own = {name: value for name, value in cell.spec.options.items() if name == "epochs" or name.endswith("_epochs")}
    return float(sum(value for value in own.values() if isinstance(value, (int, float))))


@dataclass(frozen=True)
class _Curve:
    """What a run's training curve says of its length: seconds in epochs, epochs begun, steps; nothing without one.

    before: seconds that came before the first step and grow with the images: a frozen backbone's features of them.
    """

    seconds: float = 0.0
    epochs: int = 0
    steps: int = 0
    before: float = 0.0

    @classmethod
    def of(cls, run: RunRecord) -> _Curve:
        try:
            every = read_history(run)
            rows = [row for row in every if int(row["step"])]
            before = sum(float(row["seconds"]) for row in every if not int(row["step"]))
            last = {row["phase"]: row for row in rows}  # each phase counts its own up
            seconds = sum(float(row["seconds"]) for row in last.values())
            return cls(seconds, len(rows), sum(int(row["step"]) for row in last.values()), before)
        except (DataError, KeyError, ValueError, TypeError):  # damaged, or of a method that writes what it likes
            return cls()


def _trial_of(cell: SuiteCell, data: Dataset) -> SuiteCell:
    limit, epochs = trial_limit(cell), TRIAL_EPOCHS * _share_tried(cell)
    spec = replace(
        cell.spec,
        fingerprint=data.fingerprint,
        budget=replace(cell.spec.budget, epochs=epochs, seconds=None),
        data={**cell.spec.data, "limit": limit},
    )
    return replace(cell, spec=spec, seed=0, dataset=data, settings=replace(cell.settings, limit=limit))


def trial_limit(cell: SuiteCell) -> int:
    """Return how many images a part of a cell's trial has at most."""
    most = int(TRIAL_IMAGES * _share_tried(cell))
    return min(cell.settings.limit or most, most)


def _share_tried(cell: SuiteCell) -> float:
    shape = cell.dataset.query.images.shape
    return 1.0 if max(shape.height, shape.width, cell.side) <= SMALL else 0.25


def _by_kind(records: Iterable[RunRecord], place: Workplace) -> dict[str, list[RunRecord]]:
    """Return the finished runs of this processor, device and number of threads, by what they ran."""
    found: dict[str, list[RunRecord]] = {}
    here = (cpu_name(), place.threads, place.device.type)
    for record in records:
        made_by = record.result.provenance
        timed = record.result.timings.keys() >= _TIMED and record.result.data.counts.keys() >= _COUNTED
        if record.status == "done" and timed and (made_by.cpu, made_by.threads, made_by.device) == here:
            found.setdefault(kind_of(record.result.spec), []).append(record)
    return found


def kind_of(spec: RunSpec) -> str:
    """Return what decides a run's cost, but for its epochs."""
    views = [spec.engine, spec.mirror_test, spec.deterministic]
    data = [spec.protocol, spec.fingerprint, to_jsonable(spec.resize)]
    facts = [*data, spec.method, dict(spec.options), *views, spec.budget.phases]
    return json.dumps(facts, sort_keys=True, default=list)


def _more_vectors(cell: SuiteCell, trial: RunRecord) -> int:
    """Return the bytes by which a cell's vectors, as they are and made ready for ranking, exceed its trial's."""
    counts, dim = trial.result.data.counts, trial.result.embedding_dim
    more = len(cell.dataset.query) + len(cell.dataset.gallery) - counts["query"] - counts["gallery"]
    return max(0, more) * dim * 4 * 2


def _more_pixels(cell: SuiteCell, trial: RunRecord) -> int:
    """Return the bytes by which the pixels that a method learns from, which lie on a card, exceed its trial's."""
    counts, shape = trial.result.data.counts, trial.result.data.shape
    more = len(cell.dataset.train) + len(cell.dataset.validation) - counts["train"] - counts.get("validation", 0)
    return max(0, more) * shape.height * shape.width * shape.channels
