"""The harness from Python, for notebooks and scripts: what ``simbench run`` and ``search`` do, as functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench.config import Config, Settings
from bench.contract import Dataset, SimbenchError, UsageError, Workplace, no_progress
from bench.environment import cache_folder, processors
from bench.options import build
from bench.runs.loaded_run import TrainedRun
from bench.runs.loaded_run import open_run as open_run_on
from bench.runs.provenance import choose_device
from bench.runs.run import execute
from bench.runs.run_plan import chosen_data, chosen_methods, load_collection, plan_cells
from bench.runs.store import RunRecord
from bench.search.search import Searcher


def load(dataset: str = "digits", **settings: Any) -> Dataset:
    """Return a data set cut into train, validation, query and gallery.

    dataset: a name, or a path to pictures or a manifest. settings: as of `run`. Raises like `run`.
    """
    chosen = _settings(settings)
    return chosen_data(load_collection(dataset, Config(chosen), no_progress, cache_folder()), chosen, cache_folder())


def run(
    method: str,
    dataset: str = "digits",
    *,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
    log: Callable[[str], None] = lambda line: None,
    **settings: Any,
) -> RunRecord:
    """Train a method, rank the gallery for every query, score, and return the run: its folder, and its ``result``.

    A finished run is returned, not repeated. options: of the method. settings: what bench.toml may say under ``[run]``,
    such as ``protocol="loo"``, ``epochs=3``, ``budget="2m"``, ``limit=2000``, ``runs="runs"``; bench.toml is not read.
    log: is told one line at a time how it goes on.
    Raises UsageError for unknown names or values, DataError for data that is missing, SimbenchError for a failed run.
    """
    chosen = _settings({**settings, "seeds": (seed,)})
    names = chosen_methods([method])
    if len(names) > 1:
        raise UsageError(f"{method} names {len(names)} methods; run one at a time: {', '.join(names)}")
    config = Config(chosen, methods={names[0]: dict(options or {})})
    collection = load_collection(dataset, config, no_progress, cache_folder())
    device = choose_device(chosen.device)
    threads = chosen.threads or processors()
    (cell,) = plan_cells(names, {dataset: collection}, config, [], device.type, cache=cache_folder())
    place = Workplace(Path(chosen.runs), device, threads, no_progress, log, cache=cache_folder())
    record = execute(cell.spec, cell.seed, cell.dataset, place)
    if record.status != "done":
        raise SimbenchError(f"{method} on {dataset} failed: {record.result.reason} ({record.folder})")
    return record


def open_run(where: Path | str, device: str = "cpu") -> TrainedRun:
    """Open a finished run's folder: its method as it was fitted, which embeds, and decodes if it learnt to.

    Raises UsageError where there is no run, SimbenchError for one that failed or kept no weights.
    """
    return open_run_on(Path(where), choose_device(device))


def search(where: Path | str, device: str = "cpu") -> Searcher:
    """Return what finds the nearest of a finished run's gallery for any picture."""
    return Searcher.of(open_run(where, device))


def _settings(given: Mapping[str, Any]) -> Settings:
    made: Settings = build(Settings, dict(given), owner="settings")
    return made
