"""From a suite to its cells: each data set loaded once, each method with each combination of the grid's options."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.config import Config, Settings
from bench.contract import Collection, DataError, Method, Progress, UsageError, native_size
from bench.data.layouts.locate import plugin_of
from bench.environment import user_path
from bench.evaluation.inference.engines import require_engine
from bench.options import values_of
from bench.runs.run_plan import Cell, chosen_data, load_collection, loader_for, made_method, sized_for, spec_of
from bench.runs.store import run_folder
from bench.suites.suite import Suite, combinations


@dataclass(frozen=True)
class SuiteCell(Cell):
    """A cell, and the words from which another process can load its data again.

    varied: the options of the suite's grid with this cell's values, which tell it apart from its method's other cells;
    side: pixels of what its network was made for, to which it may enlarge smaller pictures; 0 for any.
    """

    word: str
    settings: Settings
    varied: Mapping[str, Any] = field(default_factory=dict)
    side: int = 0

    def folder(self, root: Path) -> Path:
        return run_folder(root, self.spec, self.seed)

    def __str__(self) -> str:
        return f"{self.spec.dataset} {self.spec.protocol} {self.label} seed {self.seed}"

    @property
    def label(self) -> str:
        """The method, its varied options, its label budget and its draw of images, in words."""
        labels, draw = self.settings.labels_per_class, self.settings.split_seed
        varied = {**self.varied, **({} if labels is None else {"labels_per_class": labels})}
        varied |= {"split_seed": draw} if draw else {}
        return " ".join([self.spec.method, *(f"{name}={value}" for name, value in varied.items())])


@dataclass(frozen=True)
class Expansion:
    """The cells of a suite, each once, in the order to run them; skipped: data that is not here, and why."""

    cells: tuple[SuiteCell, ...]
    skipped: tuple[str, ...]


def expand(suite: Suite, config: Config, device: str, *, progress: Progress, cache: Path) -> Expansion:
    """Load a suite's data, once a data set, and return its cells: all methods of a seed before the next seed.

    Data that is missing, or does not fit a protocol, is skipped with its reason. A method's option that it does not
    have or refuses is not an error here: its cell will fail and be a row. Raises UsageError for a word that names
    nothing, DataError where no data is left.
    """
    keys = suite.keys
    grids = combinations(suite)
    require_engine(config.settings.engine, device, {})
    said = keys.epochs is not None or keys.budget is not None
    try:
        base = replace(
            config.settings,
            seeds=keys.seeds,
            split_seeds=keys.split_seeds or config.settings.split_seeds,
            validation=keys.validation or config.settings.validation,
            limit=keys.limit if keys.limit is not None else config.settings.limit,
            epochs=keys.epochs if said else config.settings.epochs,
            budget=keys.budget if said else config.settings.budget,
        )
    except ValueError as error:
        raise UsageError(f"[suite.{suite.name}]: {error}") from error
    places = [(word, _located(word, config)) for word in keys.datasets]
    cells: list[SuiteCell] = []
    skipped: list[str] = []
    for word, path in places:
        try:
            if path is None:
                raise DataError("no such file or folder, here or under the data root")
            collection = load_collection(path, replace(config, settings=base), progress, cache)
        except DataError as error:
            skipped.append(f"{word}: {error}")
            continue
        budgets = keys.labels_per_class or (base.labels_per_class,)
        for protocol, labels, drawn in itertools.product(keys.protocols, budgets, base.draws()):
            try:
                chosen = replace(config, settings=replace(drawn, protocol=protocol, labels_per_class=labels))
                cells += _cells(collection, path, chosen, grids, device=device, cache=cache)
            except DataError as error:
                skipped.append(f"{word}, protocol {protocol}: {error}")
    if not cells:
        raise DataError("\n".join([f"suite {suite.name}: none of its data is here", *skipped]))
    unique = {cell.folder(Path()): cell for cell in cells}
    # seed by seed: a suite that is stopped half-way has whole tables of its first seeds
    return Expansion(tuple(sorted(unique.values(), key=lambda cell: cell.seed)), tuple(dict.fromkeys(skipped)))


def with_epochs(cells: Iterable[SuiteCell], epochs: float) -> tuple[SuiteCell, ...]:
    """Return the cells with another number of epochs, the same for all."""
    return tuple(
        replace(cell, spec=replace(cell.spec, budget=replace(cell.spec.budget, epochs=epochs))) for cell in cells
    )


def _cells(
    collection: Collection,
    word: str,
    config: Config,
    grids: Mapping[str, Sequence[Mapping[str, Any]]],
    *,
    device: str,
    cache: Path,
) -> list[SuiteCell]:
    settings = config.settings
    data = chosen_data(collection, settings, cache)
    cells = []
    for seed, (name, grid) in itertools.product(settings.seeds, grids.items()):
        for varied in grid:
            made, options = made_with_options(name, {**config.methods.get(name, {}), **varied})
            seen = sized_for(made, data, settings)
            spec = spec_of(name, options, seen, settings, device)
            cells.append(SuiteCell(spec, seed, seen, word, settings, varied, side_of(made)))
    return cells


def side_of(method: Method | None) -> int:
    """Return the pixels of the longer side of what a method's network was made for; 0 where it takes any."""
    return max((method and native_size(method)) or (0, 0))


def made_with_options(name: str, given: Mapping[str, Any]) -> tuple[Method | None, dict[str, Any]]:
    """Return a method and all its options with their values; None and the given ones where it refuses them."""
    try:
        made = made_method(name, given)
    except UsageError:  # the cell raises it again, and is a failed row
        made = None
    return made, dict(given) if made is None else values_of(made)


def _located(word: str, config: Config) -> str | None:
    """Return what ``--dataset`` would be given for a suite's word; None for a path where nothing is."""
    if plugin_of(word) is not None:
        return word
    path, root = user_path(word), config.settings.data_root
    for there in (path, *([user_path(root) / path] if root else [])):
        if there.exists():
            return str(there.absolute())
    if not any(mark in word for mark in "/\\.~"):
        loader_for(word, config.datasets)  # raises: this is no path
    return None
