"""``bench.toml`` and the command line, checked together: unknown names fail, and all problems are told at once."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from bench.contract import FIRST, Draw, SimbenchError, Size, UsageError
from bench.naming import canonical, did_you_mean
from bench.options import build, option_types
from bench.plugins import DATASET, ENGINE, METHOD, Kind
from bench.registry import get_method, get_plugin, plugin_names, require_known

_SECTIONS = ("run", "methods", "datasets", "suite")
_LARGEST_SEED = 10**18  # what run.json can hold
DEFAULT_METHOD, DEFAULT_DATASET = "arcface", "digits"  # of a command that names none

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h)?", re.ASCII)
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}


@dataclass(frozen=True)
class Settings:
    """How to run, whatever the method and the data: the ``[run]`` section of bench.toml and the flags of the same name.

    budget: a duration such as ``90s``, ``5m``, ``2h``; limit: images kept of train and of test; ks: cut-offs of the
    metrics, None for the data set's own; threads: None for all processors; image_size: ``64`` or ``64x48`` (height x
    width) for own images; classes, per_class, labels_per_class, balance, limit, drop_leaks: what of the data is used;
    validation: whether epochs and options are chosen on images of trained classes or on classes that are not trained;
    split_seed: of every choice of images, apart from the seeds of training, or ``first`` (see
    `bench.data.splits.protocols`); split_seeds: several of them in its place, each with all seeds of training; broken
    and decoder: see DataPlace; engine: what computes the vectors of a fitted method; mirror_test: whether each vector
    is the mean of an image's and its mirror image's, of every method, where the data may be mirrored; deterministic:
    whether runs give the same bits each time, whatever the number of threads (they use one); report_dir: where tables
    and the page go, None for ``report`` in the folder of the runs.
    """

    protocol: str = "auto"
    seeds: tuple[int, ...] = (0,)
    epochs: float | None = None
    budget: str | None = None
    phases: tuple[int, ...] | None = None
    limit: int | None = None
    classes: tuple[str, ...] | None = None
    per_class: int | None = None
    labels_per_class: int | None = None
    balance: bool = False
    drop_leaks: bool = False
    validation: Literal["images", "classes"] = "images"
    split_seed: Draw = 0
    split_seeds: tuple[Draw, ...] = ()
    broken: Literal["few", "none", "any"] = "few"
    decoder: Literal["pillow", "torchcodec"] = "pillow"
    ks: tuple[int, ...] | None = None
    ties: Literal["pessimistic", "optimistic", "mean"] = "pessimistic"
    device: str = "auto"
    engine: str = "torch"
    mirror_test: bool = False
    deterministic: bool = False
    threads: int | None = None
    image_size: str | None = None
    data_root: str | None = None
    runs: str = "runs"
    report_dir: str | None = None

    def __post_init__(self) -> None:
        require_known(ENGINE, self.engine)
        if self.budget is not None:
            seconds(self.budget)
        if self.image_size is not None:
            height_and_width(self.image_size)
        if self.epochs is not None and self.budget is not None:
            raise ValueError("give epochs or a budget, not both")
        if not self.seeds or min(self.seeds) < 0 or max(self.seeds) >= _LARGEST_SEED:
            raise ValueError(f"seeds must be whole numbers from 0, of at most 18 digits, got {list(self.seeds)}")
        if self.ks is not None and (not self.ks or min(self.ks) < 1):
            raise ValueError(f"ks must be whole numbers from 1, got {list(self.ks)}")
        for name in ("threads", "limit", "per_class", "labels_per_class"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be 1 or more, got {value}")
        if any(draw != FIRST and draw < 0 for draw in (self.split_seed, *self.split_seeds)):
            raise ValueError(f"split_seed must be 0 or more, or {FIRST}, got {self.split_seed}")

    def draws(self) -> list[Settings]:
        """Return the settings of each draw of images: as they are where one split seed is given."""
        return [self.drawn(draw) for draw in dict.fromkeys(self.split_seeds)] or [self]

    def drawn(self, seed: Draw | None) -> Settings:
        """Return the settings of one draw of images, None for the default one."""
        return replace(self, split_seed=0 if seed is None else seed, split_seeds=())

    @property
    def report(self) -> Path:
        """The folder that tables and the page are written to."""
        return Path(self.report_dir) if self.report_dir else Path(self.runs) / "report"


@dataclass(frozen=True)
class Config:
    """A checked configuration: the settings, and the options that the file gives to methods and data sets by name.

    suites: simbench's and those of ``[suite.NAME]``, as written; `bench.suites.suite` checks the one that is asked for.
    """

    settings: Settings
    methods: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    datasets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    suites: Mapping[str, Any] = field(default_factory=dict)


def load_config(path: Path | None, *, overrides: Sequence[str] = (), flags: Mapping[str, Any] | None = None) -> Config:
    """Read bench.toml (``path``, or ``./bench.toml`` where there is one), then apply ``--set`` words, then flags.

    overrides: words such as ``run.protocol=loo`` or ``methods.arcface.margin=0.4``; flags: settings given on the
    command line, None where not given. Suites are those that come with simbench, and the file's, which replace those of
    the same name. Raises UsageError with one line for each problem found.
    """
    where, document = _read(path)
    if isinstance(document.get("suite", {}), dict):
        shipped = files("bench.suites").joinpath("suites.toml").read_text(encoding="utf-8")
        document["suite"] = {**tomllib.loads(shipped), **document.get("suite", {})}
    problems: list[str] = []
    for word in overrides:
        _apply(document, word, problems)
    for name in sorted(set(document) - set(_SECTIONS)):
        problems.append(f"{where}: unknown section [{name}]{did_you_mean(name, _SECTIONS)}")
    said = {name: value for name, value in (flags or {}).items() if value is not None}
    run = document.get("run", {})
    if not isinstance(run, dict):
        problems.append(f"{where}: [run] must be a section, got {run!r}")
        run = {}
    if "budget" in said or "epochs" in said:  # the command line outranks the file's other way of saying the same
        run = {name: value for name, value in run.items() if name not in ("budget", "epochs")}
    given = {**run, **said}
    settings = _checked(problems, where, lambda: build(Settings, given, owner="[run]"))
    methods = _plugin_sections(METHOD, document.get("methods", {}), problems, where)
    datasets = _plugin_sections(DATASET, document.get("datasets", {}), problems, where)
    known = document.get("suite", {})
    if not isinstance(known, dict):
        problems.append(f"{where}: [suite] holds sections such as [suite.quick], got {known!r}")
    if problems or settings is None:
        raise UsageError("\n".join(problems))
    return Config(settings, methods, datasets, known)


def duration(seconds: float) -> str:
    """Return seconds as ``42 s``, ``12 min`` or ``3 h 05 min``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def seconds(duration: str) -> float:
    """Return a duration such as ``90``, ``90s``, ``5m`` or ``1.5h`` in seconds. Raises ValueError otherwise."""
    match = _DURATION.fullmatch(duration.strip())
    if not match or not 0 < float(match[1]) < math.inf:
        raise ValueError(f"expected a duration such as 90s, 5m or 2h, got {duration!r}")
    return float(match[1]) * _SECONDS[match[2]]


def read_toml(path: Path, what: str = "") -> tuple[str, dict[str, Any]]:
    """Return a TOML file's text and what it says. what: its name in the UsageError for one that cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text)
        if any("\0" in one for one in _texts(document)):
            raise ValueError("a zero byte in a text, which no name or path can have")
        return text, document
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {what}{path}: {getattr(error, 'strerror', None) or error}") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; brackets in thousands of brackets
        raise UsageError(f"{path} is not valid TOML: {error}") from error


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in a TOML value, names included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield name
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def height_and_width(text: str) -> Size:
    """Return ``64`` or ``64x48`` as (height, width) in pixels. Raises ValueError otherwise."""
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isdigit() and 0 < int(part) <= 4096 for part in parts):
        raise ValueError(f"expected an image size such as 64 or 64x48 (height x width, at most 4096), got {text!r}")
    return int(parts[0]), int(parts[-1])


def options_for(words: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Share out ``-o`` words: ``margin=0.4`` to every chosen method that has it, ``arcface.margin=0.4`` to one.

    Raises UsageError with one line for each word that is malformed, or that no chosen method knows.
    """
    shares: dict[str, dict[str, str]] = {name: {} for name in names}
    takes = {name: _options_of(name) for name in names} if words else {}
    problems: list[str] = []
    for word in words:
        key, equals, value = word.partition("=")
        owner, dot, option = key.rpartition(".")
        option = option.strip().replace("-", "_")
        if not equals or not option:
            problems.append(f"-o takes NAME=VALUE or METHOD.NAME=VALUE, got {word!r}")
            continue
        if dot and canonical(owner) not in names:
            problems.append(f"-o {word}: method {owner!r} is not among those to run ({', '.join(names)})")
            continue
        takers = [canonical(owner)] if dot else [name for name, has in takes.items() if has is None or option in has]
        if not takers:
            known = sorted({field for options in takes.values() for field in options or ()})
            has = f"options: {', '.join(known)}" if known else "no options at all"
            problems.append(f"{' and '.join(names)}: no option {option!r}{did_you_mean(option, known)} ({has})")
        for name in takers:
            shares[name][option] = value
    if problems:
        raise UsageError("\n".join(problems))
    return shares


def _options_of(name: str) -> list[str] | None:
    """Return a method's options, None where it cannot be imported: its run will say so."""
    try:
        return list(option_types(get_method(name)))
    except (SimbenchError, TypeError):  # likewise what is no plugin after all
        return None


def _read(path: Path | None) -> tuple[str, dict[str, Any]]:
    chosen = path or Path("bench.toml")
    if path is None and not chosen.is_file():
        return "command line", {}
    return str(chosen), read_toml(chosen, "the configuration ")[1]


def _apply(document: dict[str, Any], word: str, problems: list[str]) -> None:
    key, equals, text = word.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not equals or len(parts) < 2 or not all(parts):
        problems.append(f"--set takes SECTION.NAME=VALUE, such as run.protocol=loo, got {word!r}")
        return
    table = document
    for part in parts[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            problems.append(f"--set {word}: {part!r} is a value, not a section")
            return
    table[parts[-1]] = text


def _plugin_sections(kind: Kind, sections: Any, problems: list[str], where: str) -> dict[str, Mapping[str, Any]]:
    known = plugin_names(kind)
    found: dict[str, Mapping[str, Any]] = {}
    if not isinstance(sections, dict):
        group = f"{kind.decorator}s"
        problems.append(f"{where}: [{group}] holds sections such as [{group}.{known[0]}], got {sections!r}")
        return found
    for name, options in sections.items():
        if canonical(name) not in known:
            problems.append(
                f"{where}: unknown {kind.word} [{kind.decorator}s.{name}]{did_you_mean(canonical(name), known)}"
            )
        elif not isinstance(options, dict):
            problems.append(f"{where}: {kind.decorator}s.{name} must be a section, got {options!r}")
        else:
            _checked(problems, where, lambda n=name, o=options: build(get_plugin(kind, n), o, owner=f"{kind.word} {n}"))
            found[canonical(name)] = options
    return found


def _checked(problems: list[str], where: str, make: Any) -> Any:
    try:
        return make()
    except UsageError as error:
        problems.extend(f"{where}: {line}" for line in str(error).splitlines())
    except SimbenchError:  # its run, if there is one, will say so
        pass
    return None
