"""Plugins of every kind through one door. Listing imports nothing; getting imports one.

Three places bring plugins: simbench's own files, the user's folders (``--methods DIR`` and ``--datasets DIR``, or the
variables ``SIMBENCH_METHODS`` and ``SIMBENCH_DATASETS``), and packages, by entry points. A class is named after its
file, a function by its own name; both carry their kind's decorator, which is read off the source text.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import logging
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from bench.contract import EvaluationProtocol, Loader, Method, MethodError, SimbenchError, UsageError
from bench.environment import folders_named_by, user_path
from bench.naming import canonical, did_you_mean
from bench.plugins import DATASET, METHOD, PROTOCOL, Kind, is_marked, protocol_of

_LOG = logging.getLogger(__name__)
USER_PACKAGE = "simbench_files_"  # how the packages begin as whose modules the user's files are imported
_NAME = re.compile(r"\w{1,100}")  # of a plugin that a package brings: a folder is called so


@dataclass(frozen=True)
class Plugin:
    """What is known of a plugin before it is imported.

    summary: its first docstring line; origin: who brings it; source: the module that it is in, or its entry point.
    """

    name: str
    summary: str
    origin: str
    source: str | EntryPoint = ""

    @property
    def own(self) -> bool:
        """Whether it comes with simbench."""
        return self.origin == "simbench"

    @property
    def path(self) -> Path | None:
        """Its file in a folder of the user's, None where something else brings it."""
        return None if self.own or isinstance(self.source, EntryPoint) else Path(self.origin)

    @property
    def distribution(self) -> tuple[str, str] | None:
        """The name and the version of the package that brings it, None where none does."""
        dist = self.source.dist if isinstance(self.source, EntryPoint) else None
        return (dist.name, dist.version) if dist else None

    @property
    def brought_by(self) -> str:
        """Who brings it, in a few words: simbench, a package's name, or a file's without its folder."""
        return self.path.name if self.path else self.origin


def use_folders(
    *, methods: Sequence[str | os.PathLike[str]] = (), datasets: Sequence[str | os.PathLike[str]] = ()
) -> None:
    """Use plugins from files of one's own, as ``--methods`` and ``--datasets`` do, in this process and those it starts.

    Args:
        methods: folders with files of methods, encoders, engines and indexes; none leaves those in use as they are.
        datasets: folders with files of data sets; likewise.

    Raises:
        UsageError: there is no such folder.
    """
    for kind, given in ((METHOD, methods), (DATASET, datasets)):
        if given:
            os.environ[kind.folders] = os.pathsep.join(str(user_path(one).absolute()) for one in given)
            _own_folders(kind)


def find_plugins(kind: Kind) -> dict[str, Plugin]:
    """Return all plugins of a kind by name, without importing any: simbench's own first, in the order of the source.

    Raises SimbenchError where two bring the same name, UsageError where a folder of the user's is not there.
    """
    found = dict(_builtin(kind))
    for folder in _own_folders(kind):
        if folder.resolve() == _home(kind).resolve():
            continue  # a checkout's own methods/ or datasets/
        for path in _files(folder):
            for name, summary in _in_file(path, kind):
                if name in found:
                    raise SimbenchError(f"{path} brings a {kind.word} called {name!r}, which simbench has already")
                found[name] = Plugin(name, summary, str(path), f"{_package_of(folder)}.{path.stem}")
    for name, point in _entry_points(kind).items():
        owner = point.dist.name if point.dist else "another package"
        about = point.dist.metadata["Summary"] if point.dist else ""
        if name in found:
            raise SimbenchError(f"package {owner} brings a {kind.word} called {name!r}, which simbench has already")
        found[name] = Plugin(name, about or "", owner, point)
    return found


def plugin_names(kind: Kind) -> list[str]:
    """Return the names of all plugins of a kind, sorted."""
    return sorted(find_plugins(kind))


def list_plugins(kind: Kind) -> list[Plugin]:
    """Return all plugins of a kind, sorted by name, and the names that stand for none, without importing anything."""
    standing = [Plugin(name, meaning, "simbench") for name, meaning in kind.standing]
    return sorted([*find_plugins(kind).values(), *standing], key=lambda plugin: plugin.name)


def get_plugin(kind: Kind, name: str) -> Any:
    """Import one plugin and return its class, or its function.

    Raises UsageError with the likeliest name if there is none, MethodError where its file cannot be imported.
    """
    found = find_plugins(kind).get(canonical(name))
    if found is None:
        raise unknown(kind, name)
    if (kind, found.name, found.origin) in _REFUSED:
        raise MethodError(_REFUSED[kind, found.name, found.origin])
    try:
        loaded = importlib.import_module(found.source) if isinstance(found.source, str) else found.source.load()
    except (SimbenchError, KeyboardInterrupt):
        raise
    except BaseException as error:  # a file of somebody else's may raise anything, SystemExit too
        first = (str(error).splitlines() or [""])[0]
        raise MethodError(
            f"cannot import the {kind.word} {found.name} of {found.origin}: {type(error).__name__}: {first}"
        ) from error
    return _marked(loaded, kind, found.name) if isinstance(loaded, ModuleType) else loaded


_REFUSED: dict[tuple[Kind, str, str], str] = {}  # by kind, name and origin


def refuse(kind: Kind, name: str, reason: str) -> None:
    """Have ``get_plugin`` raise MethodError with this reason from now on: importing the plugin ended a process."""
    plugin = find_plugins(kind)[canonical(name)]
    _REFUSED[kind, plugin.name, plugin.origin] = reason


def refused() -> list[tuple[str, str, str]]:
    """Return what is refused: the kind's decorator, the name, and the reason."""
    return [(kind.decorator, name, reason) for (kind, name, _), reason in _REFUSED.items()]


def get_method(name: str) -> type[Method]:
    """Import one method and return its class. Raises UsageError with the likeliest name if there is none."""
    cls: type[Method] = get_plugin(METHOD, name)
    return cls


def get_dataset(name: str) -> type[Loader]:
    """Import one data set and return its loader class. Raises UsageError with the likeliest name if there is none."""
    cls: type[Loader] = get_plugin(DATASET, name)
    return cls


def variants_of(name: str) -> tuple[str, ...]:
    """Import one data set and return the values of its option ``variant``, nothing where it has none."""
    wanted = get_type_hints(get_dataset(name)).get("variant")
    return get_args(wanted) if get_origin(wanted) is Literal else ()


def get_protocol(name: str) -> EvaluationProtocol:
    """Import one protocol and return it. Raises UsageError with the likeliest name if there is none."""
    return replace(protocol_of(get_plugin(PROTOCOL, name)), name=canonical(name))


def require_known(kind: Kind, name: str) -> None:
    """Raise UsageError, with the likeliest name, unless a name is a plugin's, or stands for something else."""
    if name not in dict(kind.standing) and canonical(name) not in find_plugins(kind):
        raise unknown(kind, name)


def unknown(kind: Kind, name: str) -> UsageError:
    """Return the error for a name that no plugin has: the likeliest one, and all."""
    unmarked = [
        path for folder in _own_folders(kind) for path in _files(folder) if canonical(path.stem) == canonical(name)
    ]
    if unmarked:
        return UsageError(f"unknown {kind.word} {name!r}: {unmarked[0]} has no top-level @{kind.decorator}")
    known = sorted([*find_plugins(kind), *dict(kind.standing)])
    return UsageError(f"unknown {kind.word} {name!r}{did_you_mean(canonical(name), known)} (known: {', '.join(known)})")


@cache
def _home(kind: Kind) -> Path:
    """Return the folder, or the one file, of simbench's own plugins of a kind."""
    spec = importlib.util.find_spec(kind.home)
    if spec is None:
        raise SimbenchError(f"simbench is not installed here ({kind.home} is missing): run 'make setup'")
    return Path(next(iter(spec.submodule_search_locations or [str(spec.origin)])))


@cache
def _builtin(kind: Kind) -> dict[str, Plugin]:
    home = _home(kind)
    files = _files(home) if home.is_dir() else [home]
    modules = {path: f"{kind.home}.{path.stem}" if home.is_dir() else kind.home for path in files}
    return {
        name: Plugin(name, summary, "simbench", module)
        for path, module in modules.items()
        for name, summary in _in_file(path, kind)
    }


@cache
def _entry_points(kind: Kind) -> dict[str, EntryPoint]:
    """Return what packages bring of a kind, by name; a name is data, and one that could be a path is left out."""
    found = {canonical(point.name): point for point in entry_points(group=kind.group)}
    for name in [name for name in found if not _NAME.fullmatch(name)]:
        owner = found[name].dist
        _LOG.warning(
            "left out: package %s brings a %s called %s, which is no name of letters, digits and _",
            owner.name if owner else "unknown", kind.word, ascii(name[:80]),
        )  # fmt: skip
        del found[name]
    return found


def _own_folders(kind: Kind) -> list[Path]:
    """Return the user's folders of a kind, simbench's own left out. Raises UsageError for one that is not there."""
    found = folders_named_by(kind.folders)
    for folder in found:
        if not folder.is_dir():
            option = "--datasets" if kind is DATASET else "--methods"
            raise UsageError(f"{option}: no such folder: {folder} (also said by {kind.folders})")
    return found


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("*.py")) if not path.stem.startswith("_") and path.is_file()]


def _in_file(path: Path, kind: Kind) -> Iterator[tuple[str, str]]:
    """Yield the name and the summary of each plugin of a kind in a file, from its text alone."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if not re.search(rf"^@([\w.]+\.)?{kind.decorator}\b", text, re.MULTILINE):
        return
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError) as error:  # a null byte is a ValueError
        yield canonical(path.stem), f"(does not parse: line {getattr(error, 'lineno', '?')})"
        return
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and kind.decorator in _decorators(node):
            yield canonical(path.stem), _first_line(tree) or _first_line(node)
        elif isinstance(node, ast.FunctionDef) and kind.decorator in _decorators(node):
            yield canonical(node.name), _first_line(node)


def _decorators(node: ast.ClassDef | ast.FunctionDef) -> set[str]:
    called = (one.func if isinstance(one, ast.Call) else one for one in node.decorator_list)
    return {ast.unparse(one).rpartition(".")[2] for one in called}


def _first_line(node: ast.Module | ast.ClassDef | ast.FunctionDef) -> str:
    return (ast.get_docstring(node) or "").partition("\n")[0]


def _package_of(folder: Path) -> str:
    """Return the package, made here, as whose modules a folder's files are imported: each folder has one of its own."""
    name = f"{USER_PACKAGE}{hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]}"
    if name not in sys.modules:
        sys.modules[name] = ModuleType(name, f"Plugins of {folder}.")
        sys.modules[name].__path__ = [str(folder)]
    return name


def _marked(module: ModuleType, kind: Kind, name: str) -> Any:
    """Return a module's plugin: the function of that name, or the one class that is marked in it."""
    mine = [value for value in vars(module).values() if is_marked(value, kind)]
    found = [value for value in mine if value.__module__ == module.__name__]
    functions = [one for one in found if not isinstance(one, type) and canonical(one.__name__) == name]
    if functions:
        return functions[0]
    if len(found) != 1:
        raise SimbenchError(f"{module.__name__} must define exactly one @{kind.decorator} class, it has {len(found)}")
    return found[0]
