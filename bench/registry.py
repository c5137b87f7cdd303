"""A file's name is its plugin's name. Listing imports nothing; getting imports one.

Built-in plugins are the files of ``methods/`` and ``datasets/``, and the marked functions of one module for protocols;
other packages add theirs through the entry-point groups ``simbench.methods``, ``simbench.datasets`` and
``simbench.protocols``. All come through the same door.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass, replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from bench.contract import Collection, EvaluationProtocol, Loader, Method, MethodError, SimbenchError, UsageError
from bench.naming import canonical, did_you_mean

C = TypeVar("C", bound=type)
Cut = Callable[[Collection, int], Collection]

_MARK = "__simbench_plugin__"
_PROTOCOL = "__simbench_protocol__"  # of a cut's function: what it is the cut of


@dataclass(frozen=True)
class Kind:
    """One kind of plugin: its decorator's name, the word users read, its entry-point group, and where ours are.

    package: of files that each define one class, or a module of functions that are plugins by their own names.
    """

    decorator: str
    word: str
    package: str
    group: str


METHOD = Kind("method", "method", "bench.methods", "simbench.methods")
DATASET = Kind("dataset", "data set", "bench.datasets", "simbench.datasets")
PROTOCOL = Kind("protocol", "protocol", "bench.data.splits.protocols", "simbench.protocols")


@dataclass(frozen=True)
class Plugin:
    """What listing knows of a plugin without importing it: its name, its first docstring line, who brings it."""

    name: str
    summary: str
    origin: str


def method(cls: C) -> C:
    """Mark a dataclass as the method that its file is named after."""
    return _mark(cls, METHOD, ("fit", "embed"))


def dataset(cls: C) -> C:
    """Mark a dataclass as the data set loader that its file is named after."""
    return _mark(cls, DATASET, ("load",))


def protocol(
    *needs: str, gallery_is_train: bool = False, query_in_gallery: bool = False, seen_classes: bool | None = True
) -> Callable[[Cut], Cut]:
    """Mark a function as the cut of the protocol that is named after it; its first docstring line describes it.

    needs, and what it says of itself: see `bench.contract.EvaluationProtocol`.
    """

    def marked(cut: Cut) -> Cut:
        summary = (cut.__doc__ or "").partition("\n")[0]
        flags = {"gallery_is_train": gallery_is_train, "query_in_gallery": query_in_gallery}
        made = EvaluationProtocol(cut.__name__, summary, needs, cut, seen_classes=seen_classes, **flags)
        setattr(cut, _PROTOCOL, made)
        setattr(cut, _MARK, PROTOCOL.decorator)
        return cut

    return marked


def plugin_names(kind: Kind) -> list[str]:
    """Return the names of all plugins of a kind, sorted."""
    return sorted({*_builtin_files(kind), *_entry_points(kind)})


def list_plugins(kind: Kind) -> list[Plugin]:
    """Return all plugins of a kind without importing any of them."""
    found = [Plugin(name, _summary(kind, name, path), "simbench") for name, path in _builtin_files(kind).items()]
    found += [
        Plugin(name, _distribution_summary(point), point.dist.name if point.dist else "another package")
        for name, point in _entry_points(kind).items()
    ]
    return sorted(found, key=lambda plugin: plugin.name)


def get_method(name: str) -> type[Method]:
    """Import one method and return its class. Raises UsageError with the likeliest name if there is none."""
    found: type[Method] = _get(METHOD, name)
    return found


def get_dataset(name: str) -> type[Loader]:
    """Import one data set and return its loader class. Raises UsageError with the likeliest name if there is none."""
    found: type[Loader] = _get(DATASET, name)
    return found


def get_protocol(name: str) -> EvaluationProtocol:
    """Import one protocol and return it. Raises UsageError with the likeliest name if there is none."""
    found: EvaluationProtocol = getattr(_get(PROTOCOL, name), _PROTOCOL)
    return replace(found, name=canonical(name))


def _mark(cls: C, kind: Kind, needed: tuple[str, ...]) -> C:
    missing = [name for name in needed if not callable(getattr(cls, name, None))]
    if missing:
        raise MethodError(f"{kind.word} {cls.__module__}.{cls.__qualname__} lacks {' and '.join(missing)}()")
    if not is_dataclass(cls):
        raise MethodError(f"{kind.word} {cls.__qualname__} is no dataclass; write @{kind.decorator} above @dataclass")
    no_default = [f.name for f in fields(cls) if not _has_default(f)]
    if no_default:
        raise MethodError(f"{kind.word} {cls.__qualname__}: every option needs a default, {no_default[0]!r} has none")
    setattr(cls, _MARK, kind.decorator)
    return cls


def _has_default(one: Field[object]) -> bool:
    return not (one.default is MISSING and one.default_factory is MISSING)


@cache
def _builtin_files(kind: Kind) -> dict[str, Path]:
    package = kind.package
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise SimbenchError(f"simbench is not installed here ({package} is missing): run 'make setup'")
    if spec.submodule_search_locations is None:
        return dict.fromkeys(_marked_functions(Path(spec.origin), kind), Path(spec.origin))
    folder = Path(next(iter(spec.submodule_search_locations)))
    return {path.stem: path for path in sorted(folder.glob("*.py")) if not path.stem.startswith("_")}


@cache
def _entry_points(kind: Kind) -> dict[str, EntryPoint]:
    builtin = _builtin_files(kind)
    found = {canonical(point.name): point for point in entry_points(group=kind.group)}
    clash = sorted(set(found) & set(builtin))
    if clash:
        dist = found[clash[0]].dist
        owner = dist.name if dist else "?"
        raise SimbenchError(f"package {owner} brings a {kind.word} called {clash[0]!r}, which simbench has already")
    return found


def _summary(kind: Kind, name: str, path: Path) -> str:
    """Return the first line of the docstring of a plugin's file or function, reading its text only."""
    try:
        node = _marked_functions(path, kind).get(name) or ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        return f"(does not parse: line {error.lineno})"
    return (ast.get_docstring(node) or "").partition("\n")[0]


def _marked_functions(path: Path, kind: Kind) -> dict[str, ast.FunctionDef]:
    """Return the functions of a file that bear a kind's decorator, reading its text only."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return {
        node.name: node
        for node in body
        if isinstance(node, ast.FunctionDef)
        and any(ast.unparse(one).partition("(")[0] == kind.decorator for one in node.decorator_list)
    }


def _distribution_summary(point: EntryPoint) -> str:
    return (point.dist.metadata["Summary"] if point.dist else None) or ""


def _get(kind: Kind, name: str) -> Any:
    wanted, builtin, others = canonical(name), _builtin_files(kind), _entry_points(kind)
    if wanted in builtin and builtin[wanted].stem == kind.package.rpartition(".")[2]:  # all of them in one module
        return getattr(importlib.import_module(kind.package), wanted)
    if wanted in builtin:
        module_name = f"{kind.package}.{wanted}"
        return _marked_class(importlib.import_module(module_name).__name__, kind)
    if wanted in others:
        loaded = others[wanted].load()
        return _marked_class(loaded.__name__, kind) if isinstance(loaded, ModuleType) else loaded
    known = plugin_names(kind)
    raise UsageError(f"unknown {kind.word} {name!r}{did_you_mean(wanted, known)} (known: {', '.join(known)})")


def _marked_class(module_name: str, kind: Kind) -> type:
    found = [
        value
        for value in vars(sys.modules[module_name]).values()
        if isinstance(value, type) and value.__module__ == module_name and vars(value).get(_MARK) == kind.decorator
    ]
    if len(found) != 1:
        raise SimbenchError(f"{module_name} must define exactly one @{kind.decorator} class, it has {len(found)}")
    return found[0]
