"""The harness from Python, for notebooks and scripts: what ``simbench run`` and ``search`` do, as functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bench.config import DEFAULT_DATASET, Config, Settings
from bench.contract import Dataset, SimbenchError, UsageError, Workplace, no_progress
from bench.environment import cache_folder, processors
from bench.options import build
from bench.report.tables.entries import table_runs
from bench.report.tables.frame import runs_frame as frame_of
from bench.runs.artifacts import PER_QUERY, read_arrays
from bench.runs.loaded_run import TrainedRun, find_run
from bench.runs.loaded_run import open_run as open_run_on
from bench.runs.provenance import choose_device
from bench.runs.ranked import GAINS
from bench.runs.run import execute
from bench.runs.run_plan import chosen_data, chosen_methods, load_collection, plan_cells
from bench.runs.store import RunRecord
from bench.search.search import Searcher


def load(dataset: str = DEFAULT_DATASET, **settings: Any) -> Dataset:
    """Return a data set cut into train, validation, query and gallery.

    Args:
        dataset: a name, or a path to pictures or a manifest.
        settings: as of ``run``.

    Returns:
        The four parts, with what is known of them.

    Raises:
        UsageError: an unknown name or value.
        DataError: data that is missing or broken, or does not fit the protocol.

    Example:
        >>> data = load("digits", protocol="loo", limit=300)
        >>> data.query.images.shape
        ImageShape(height=8, width=8, channels=1)
    """
    chosen = build(Settings, settings, owner="settings")
    return chosen_data(load_collection(dataset, Config(chosen), no_progress, cache_folder()), chosen, cache_folder())


def run(
    method: str,
    dataset: str = DEFAULT_DATASET,
    *,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
    log: Callable[[str], None] = lambda line: None,
    **settings: Any,
) -> RunRecord:
    """Train a method, rank the gallery for every query, score, and return the run; a finished one is not repeated.

    Args:
        method: a name.
        dataset: a name, or a path to pictures or a manifest.
        seed: of training.
        options: of the method, by name.
        log: is told one line at a time how it goes on.
        settings: what bench.toml may say under ``[run]``, such as ``protocol="loo"``, ``epochs=3``, ``budget="2m"``,
            ``limit=2000``, ``runs="runs"``; bench.toml itself is not read.

    Returns:
        The run: its ``folder``, and its ``result`` as run.json has it.

    Raises:
        UsageError: an unknown name or value.
        DataError: data that is missing or broken.
        SimbenchError: the run failed.

    Example:
        >>> record = run("pixels", "digits", protocol="loo", limit=300)
        >>> record.result.scores["map"] > 0.5
        True
    """
    chosen = build(Settings, {**settings, "seeds": (seed,)}, owner="settings")
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
    """Open a finished run: its method as it was fitted, which embeds, and decodes if it learnt to.

    Args:
        where: the run's folder, or one with a single run anywhere under it.
        device: what to compute on: cpu, cuda, mps or auto.

    Returns:
        The run, with ``embed``, ``decode`` and ``gallery``.

    Raises:
        UsageError: there is no run, or its method is not known here.
        SimbenchError: it failed, or kept no weights.
    """
    return open_run_on(Path(where), choose_device(device))


def open_search(where: Path | str, device: str = "cpu") -> Searcher:
    """Open a finished run for search: what finds the nearest of its gallery for any picture.

    Args:
        where: as of ``open_run``.
        device: likewise.

    Returns:
        What searches ``by_file``, ``by_name`` and by vectors.

    Raises:
        UsageError: as ``open_run`` does; so with SimbenchError.
    """
    return Searcher.of(open_run(where, device))


def runs_frame(runs: Path | str = "runs") -> pd.DataFrame:
    """Return every run under a folder as a table, one row a run: what runs.csv holds.

    Args:
        runs: the folder that runs are kept in.

    Returns:
        Which run it is (data set, protocol, method, seed), each metric under its own name, its rank, costs, options,
        and what made it. Failed runs have a ``status`` and a ``reason``, and no scores.

    Raises:
        UsageError: there is no such folder.

    Example:
        >>> record = run("pixels", "digits", protocol="loo", limit=300)
        >>> runs_frame("runs")[["method", "protocol", "seed"]].to_dict("records")
        [{'method': 'pixels', 'protocol': 'loo', 'seed': 0}]
    """
    if not Path(runs).is_dir():
        raise UsageError(f"{runs}: no such folder of runs")
    return frame_of(table_runs(Path(runs)))


def per_query(run: RunRecord | Path | str) -> pd.DataFrame:
    """Return what a finished run scored for each query, one row a query.

    Args:
        run: the run, its folder, or a folder with a single run anywhere under it.

    Returns:
        ``id`` and ``label`` (the class's name), then each metric as float64, NaN where a query has nothing relevant.

    Raises:
        UsageError: there is no run.
        SimbenchError: it failed.
        DataError: its file of values is missing or damaged.

    Example:
        >>> record = run("pixels", "digits", protocol="loo", limit=300)
        >>> frame = per_query(record)
        >>> list(frame.columns[:2]), len(frame)
        (['id', 'label'], 300)
        >>> bool(abs(frame["map"].mean() - record.result.scores["map"]) < 1e-9)
        True
    """
    kept = read_arrays(find_run(run.folder if isinstance(run, RunRecord) else Path(run)), PER_QUERY)
    metrics = {name: values for name, values in kept.items() if values.dtype == "float64" and name != GAINS}
    return pd.DataFrame({"id": kept["ids"], "label": kept["classes"][kept["labels"]], **metrics})
