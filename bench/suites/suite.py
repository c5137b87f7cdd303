"""Suites: named sets of cells, of suites.toml here and of bench.toml. Their cells: `bench.suites.expansion`."""

from __future__ import annotations

import fnmatch
import itertools
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from bench.config import DEFAULT_DATASET, Config, seconds
from bench.contract import Draw, UsageError
from bench.executors.memory import byte_count
from bench.naming import canonical, did_you_mean
from bench.options import build, option_types
from bench.registry import get_method
from bench.runs.run_plan import chosen_methods

_OPTIONS, _VARIANTS = "options", "variants"  # keys of their own; all others are fields of SuiteKeys
_LABELS = "labels_per_class"


@dataclass(frozen=True)
class SuiteKeys:
    """What ``[suite.NAME]`` may say, but for its grid of options.

    summary: what it is for, in a line; methods, without: names and globs; datasets: words as ``--dataset`` takes them,
    a path also below the data root; split_seeds: draws of images, each with all seeds; epochs or budget: of each cell,
    the same for every method; limit: images kept of train and of test; cell_time: the longest a cell may take;
    cell_memory: the most it may hold, None for its share of the machine; labels_per_class: label budgets, each a cell,
    None for all labels; robustness: whether each finished run is also asked corrupted queries; validation: on images of
    trained classes or on whole classes (see Settings), None for what [run] says.
    """

    summary: str = ""
    methods: tuple[str, ...] = ("*",)
    without: tuple[str, ...] = ()
    datasets: tuple[str, ...] = (DEFAULT_DATASET,)
    protocols: tuple[str, ...] = ("auto",)
    seeds: tuple[int, ...] = (0,)
    split_seeds: tuple[Draw, ...] = ()
    epochs: float | None = None
    budget: str | None = None
    limit: int | None = None
    cell_time: str = "4h"
    cell_memory: str | None = None
    labels_per_class: tuple[int | None, ...] | None = None
    robustness: bool = False
    validation: Literal["images", "classes"] | None = None

    def __post_init__(self) -> None:
        for name in ("methods", "datasets", "protocols", "seeds"):
            if not getattr(self, name):
                raise ValueError(f"{name} must name at least one")
        if self.epochs is not None and self.budget is not None:
            raise ValueError("give epochs or a budget, not both")
        if self.labels_per_class is not None and any(one is not None and one < 1 for one in self.labels_per_class):
            raise ValueError('labels_per_class must be whole numbers from 1, or "all"')
        seconds(self.cell_time)
        if self.cell_memory is not None:
            byte_count(self.cell_memory)


@dataclass(frozen=True)
class Suite:
    """A named set of cells.

    grid: the values to try of each option, by ``NAME`` or ``METHOD.NAME``. variants: options that are tried together,
    each by every method that has all of them; a method that has none's is run as it is.
    """

    name: str
    keys: SuiteKeys
    grid: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    variants: tuple[Mapping[str, Any], ...] = ({},)


def find_suite(config: Config, name: str) -> Suite:
    """Return a suite by its name. Raises UsageError for an unknown one and for every key that does not fit."""
    if name not in config.suites:
        known = ", ".join(config.suites) or "none"
        raise UsageError(f"unknown suite {name!r}{did_you_mean(name, config.suites)} (there are: {known})")
    said = config.suites[name]
    if not isinstance(said, Mapping):
        raise UsageError(f"suite.{name} must be a section, got {said!r}")
    grid = said.get(_OPTIONS, {})
    if not isinstance(grid, Mapping):
        raise UsageError(f"suite.{name}.{_OPTIONS} must be a section, got {grid!r}")
    variants = said.get(_VARIANTS, [{}])
    if not isinstance(variants, list) or not variants or not all(isinstance(one, Mapping) for one in variants):
        raise UsageError(f"suite.{name}.{_VARIANTS} must be a list of tables such as [{{}}, {{lr = 1e-3}}]")
    keys = {key: value for key, value in said.items() if key not in (_OPTIONS, _VARIANTS)}
    _refuse_unknown(name, keys)
    if _LABELS in keys:
        keys[_LABELS] = _budgets(keys[_LABELS])
    values = {key: _several(f"suite.{name}.{_OPTIONS}.{key}", value) for key, value in _flat(grid)}
    return Suite(name, build(SuiteKeys, keys, owner=f"[suite.{name}]"), values, tuple(variants))


def combinations(suite: Suite) -> dict[str, list[dict[str, Any]]]:
    """Return for each method of a suite its variants with each combination of its grid's options; without, one of none.

    Raises UsageError for a method, or an option without its method's name, that nobody has.
    """
    left_out = chosen_methods(suite.keys.without) if suite.keys.without else []
    names = [name for name in chosen_methods(suite.keys.methods) if name not in left_out]
    if not names:
        raise UsageError(f"[suite.{suite.name}]: without leaves no method")
    known = {name: _options_of(name) for name in names}
    asked = {key.replace("-", "_") for one in suite.variants for key in one}
    if asked - set(itertools.chain(*known.values())):  # a suite cut down to methods without them is no mistake
        options = set(itertools.chain(*(_options_of(name) for name in chosen_methods(["*"]))))
        for option in sorted(asked - options):
            close = did_you_mean(option, sorted(options))
            raise UsageError(f"[suite.{suite.name}] {_VARIANTS}: no method takes {option!r}{close}")
    axes: dict[str, dict[str, tuple[Any, ...]]] = {name: {} for name in names}
    for key, values in suite.grid.items():
        owner, _, word = key.rpartition(".")
        option = word.replace("-", "_")
        takers = fnmatch.filter(names, canonical(owner)) if owner else [name for name in names if option in known[name]]
        if not takers:
            every = sorted(set(itertools.chain(*known.values())))
            close = did_you_mean(canonical(owner), names) if owner else did_you_mean(option, every)
            raise UsageError(f"[suite.{suite.name}.{_OPTIONS}]: no method of the suite takes {key!r}{close}")
        for name in takers:
            axes[name][option] = values
    variants = {name: _variants_of(known[name], suite) for name in names}
    return {
        name: [
            {**variant, **dict(zip(axes[name], values, strict=True))}
            for variant in variants[name]
            for values in itertools.product(*axes[name].values())
        ]
        for name in names
    }


def _variants_of(options: Sequence[str], suite: Suite) -> list[dict[str, Any]]:
    """Return the variants of which a method has all options; the one of nothing where there is none."""
    named = [{key.replace("-", "_"): value for key, value in one.items()} for one in suite.variants]
    return [one for one in named if one.keys() <= {*options}] or [{}]


def _options_of(name: str) -> list[str]:
    try:
        return list(option_types(get_method(name)))
    except Exception:  # likewise
        return []


def _refuse_unknown(name: str, keys: Mapping[str, Any]) -> None:
    known = [*option_types(SuiteKeys), _OPTIONS, _VARIANTS]
    problems = [
        f"[suite.{name}] has no key {key!r}{did_you_mean(key, known)} (it may have: {', '.join(known)})"
        for key in keys
        if key.replace("-", "_") not in known
    ]
    if problems:
        raise UsageError("\n".join(problems))


def _budgets(given: Any) -> Any:
    """Return label budgets as a list, None for "all"; what fits neither is left for ``build`` to refuse."""
    words = given.split(",") if isinstance(given, str) else given if isinstance(given, list) else [given]
    return [None if isinstance(word, str) and word.strip() == "all" else word for word in words]


def _several(key: str, value: Any) -> tuple[Any, ...]:
    """Return the values to try of a line of the grid; ``--set`` gives them as text, a list as TOML writes it."""
    if isinstance(value, str) and value.startswith("["):
        try:
            value = tomllib.loads(f"it = {value}")["it"]
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"{key}: {value} is no list of values such as [64, 128]: {error}") from error
    return tuple(value) if isinstance(value, list) else (value,)


def _flat(grid: Mapping[str, Any], owner: str = "") -> Iterable[tuple[str, Any]]:
    """Yield a grid's keys and values; ``arcface.margin = 1`` is a table in a table to TOML."""
    for key, value in grid.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{owner}{key}.")
        else:
            yield f"{owner}{key}", value
