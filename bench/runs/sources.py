"""What code and which files a run is of: its plugins' source and what its options name, as digests.

Of a plugin, that is the file with its class, those with its base classes, and the files beside them that these import,
as their text says it. simbench's own code is in it where it is a plugin's file; the rest is told by version and commit,
and so are packages that every run records.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

from bench.contract import RunSpec, SimbenchError
from bench.environment import user_path
from bench.files import file_digest
from bench.naming import canonical
from bench.options import FileNamed, names_of
from bench.plugins import DATASET, ENGINE, METHOD, PROTOCOL, Kind
from bench.registry import USER_PACKAGE, Plugin, find_plugins, get_plugin

RECORDED = {  # packages whose versions every run records, by import name
    "torch": "torch", "torchvision": "torchvision", "timm": "timm", "numpy": "numpy", "sklearn": "scikit-learn",
    "faiss": "faiss-cpu", "pandas": "pandas", "PIL": "pillow", "safetensors": "safetensors",
}  # fmt: skip
_OWN_PLUGINS = ("bench.methods", "bench.datasets")
INSTALLED = {"site-packages", "dist-packages"}  # folders that packages of everybody share


def sources_of(method: str, options: Mapping[str, Any], engine: str = "torch") -> dict[str, str]:
    """Return the digest of every file that decides what a method does: SHA-256, in hexadecimal.

    ``method/FILE``, ``engine/FILE`` and ``-o OPTION/FILE`` are code, by who brings it; ``-o OPTION`` is the content of
    a file that an option names, ``-o OPTION=FILE`` that of one which an option names without saying so. Only the
    method's file is told of one that cannot be imported. No path is in it but those within a package.

    Args:
        method: its name.
        options: all of its options with their values.
        engine: what computes the vectors.
    """
    found = {f"method/{name}": file_digest(path) for name, path in _code(METHOD, method).items()}
    named = _named(method)
    for option, value in options.items():
        what = named.get(option)
        if isinstance(what, Kind):
            code = _code(what, str(value).partition("/")[0])
            found |= {f"-o {option}/{name}": file_digest(path) for name, path in code.items()}
            continue
        digests = {path.name: file_digest(path) for path in _files_in(value, what)}
        if what and digests:
            found[f"-o {option}"] = ", ".join(digests.values())
        else:
            found |= {f"-o {option}={name}": digest for name, digest in digests.items()}
    if engine != "torch":
        found |= {f"engine/{name}": file_digest(path) for name, path in _code(ENGINE, engine).items()}
    return dict(sorted(found.items()))


def changed_code(spec: RunSpec) -> list[str]:
    """Return the code of a run that is another now, or gone, as its specification names it."""
    now = sources_of(spec.method, spec.options, spec.engine)
    both = {name: digest for name, digest in {**now, **spec.sources}.items() if "/" in name and "=" not in name}
    return sorted(name for name in both if now.get(name) != spec.sources.get(name)) if spec.sources else []


def plugins_of(spec: RunSpec) -> list[tuple[Kind, Plugin]]:
    """Return every plugin that a run uses and that can be found here."""
    named = ((what, option) for option, what in _named(spec.method).items() if isinstance(what, Kind))
    asked = [
        (METHOD, spec.method), (DATASET, spec.dataset), (PROTOCOL, spec.protocol), (ENGINE, spec.engine),
        *((kind, str(spec.options.get(option, "")).partition("/")[0]) for kind, option in named),
    ]  # fmt: skip
    found = ((kind, find_plugins(kind).get(canonical(name))) for kind, name in asked)
    return [(kind, plugin) for kind, plugin in found if plugin is not None]


def of_own_code(spec: RunSpec) -> bool:
    """Whether all code of a run that is called while it is made comes with simbench."""
    return all(plugin.own for kind, plugin in plugins_of(spec) if kind not in (DATASET, PROTOCOL))


def code_files(kind: Kind, plugin: Plugin) -> list[Path]:
    """Return the files of a plugin's code, by the rule of this module."""
    return list(_code(kind, plugin.name).values())


def distributions_of(spec: RunSpec) -> dict[str, str]:
    """Return the version of every package but simbench that brought a plugin of a run, or a base class of it."""
    found = {}
    for kind, plugin in plugins_of(spec):
        if plugin.distribution:
            found[plugin.distribution[0]] = plugin.distribution[1]
        tops = {name.partition(".")[0] for name in _modules(kind, plugin)} - {"bench", *RECORDED}
        tops = {name for name in tops if not name.startswith(USER_PACKAGE)}
        owners = packages_distributions() if tops and not plugin.distribution else {}
        found |= {name: version(name) for top in tops for name in owners.get(top, ())}
    return dict(sorted(found.items()))


def _named(method: str) -> dict[str, FileNamed | Kind]:
    """Return what a method's options name, nothing of one that cannot be imported."""
    try:
        return names_of(get_plugin(METHOD, method))
    except (SimbenchError, TypeError):  # no dataclass after all
        return {}


def _files_in(value: Any, what: FileNamed | None) -> Iterator[Path]:
    """Yield the files that an option's value names; where it does not say that it does, it must look like a path."""
    for text in value if isinstance(value, (list, tuple)) else [value]:
        if not isinstance(text, str) or not text or "\0" in text or (what and text in what.words):
            continue
        path = user_path(text)
        try:
            if (what or len(path.parts) > 1 or path.suffix) and path.is_file():
                yield path
        except OSError:  # no file has such a name
            continue


def _code(kind: Kind, name: str) -> dict[str, Path]:
    """Return the files of a plugin's code by their names within its package or folder."""
    plugin = find_plugins(kind).get(canonical(name))
    if plugin is None:
        return {}
    found: dict[str, Path] = {}
    for module, path in _modules(kind, plugin).items():
        for inner, file in _with_imported(module, path):
            named = inner if found.get(inner, file) == file else f"{inner} of {module}"
            found[named] = file
    return found


def _modules(kind: Kind, plugin: Plugin) -> dict[str, Path]:
    """Return the modules with a plugin's class and its base classes, and their files; its own is the first."""
    try:
        loaded = get_plugin(kind, plugin.name)
    except SimbenchError:
        return _unloaded(plugin)
    names = [str(getattr(one, "__module__", "")) for one in (loaded.__mro__ if isinstance(loaded, type) else [loaded])]
    files = {name: getattr(sys.modules.get(name), "__file__", None) for name in names}
    wanted = [name for at, name in enumerate(names) if at == 0 or _counts(name)]
    return {name: Path(files[name] or "") for name in wanted if files[name]}


def _unloaded(plugin: Plugin) -> dict[str, Path]:
    if plugin.path is not None:
        return {str(plugin.source): plugin.path}
    spec = importlib.util.find_spec(plugin.source) if isinstance(plugin.source, str) else None
    return {str(plugin.source): Path(spec.origin)} if spec and spec.origin else {}


def _counts(module: str) -> bool:
    """Whether a base class's module counts: none of Python's, of simbench's package code, or of a recorded package."""
    top = module.partition(".")[0]
    own = top == "bench" and not module.startswith(_OWN_PLUGINS)
    return not own and top not in sys.stdlib_module_names and top not in RECORDED


def _with_imported(module: str, path: Path) -> Iterator[tuple[str, Path]]:
    """Yield a module's file and those of its own package or folder that it imports, directly or not, with names."""
    parts = module.split(".")
    package = parts if path.name == "__init__.py" else parts[:-1]
    within = next((one.split(".") for one in _OWN_PLUGINS if module.startswith(f"{one}.")), package[:1])
    home = path.parent
    for _ in package[len(within) :]:
        home = home.parent
    alone = not package and bool(INSTALLED & set(path.parts))  # beside it lie other packages
    if alone or (parts[0] == "bench" and not module.startswith(_OWN_PLUGINS)):
        yield path.name, path
        return
    shown = Path(*within) if within and parts[0] != "bench" and not parts[0].startswith(USER_PACKAGE) else Path()
    seen, waiting = set(), [path, *_packages_above(path, home if within and parts[0] != "bench" else None)]
    while waiting:
        file = waiting.pop()
        if file in seen:
            continue
        seen.add(file)
        yield (shown / file.relative_to(home)).as_posix(), file
        waiting += [one for name in _imported(file, home, within) for one in _files_of(name, home)]


def _packages_above(path: Path, home: Path | None) -> list[Path]:
    """Return the ``__init__.py`` files that run before a module of a package does."""
    if home is None:
        return []
    folders = [folder for folder in path.parents if folder == home or home in folder.parents]
    return [folder / "__init__.py" for folder in folders if (folder / "__init__.py").is_file()]


def _imported(file: Path, home: Path, within: list[str]) -> Iterator[list[str]]:
    """Yield the names that a file imports, in parts, as seen from the folder ``home``, which is the package within."""
    facts = file.stat()
    here = list(file.relative_to(home).parts[:-1])
    beside = not within or within[0].startswith(USER_PACKAGE)  # files of one folder may also import each other so
    for level, module, names in _statements(str(file), facts.st_size, facts.st_mtime_ns):
        base = module.split(".") if module else []
        if level:
            base = [*within, *(here[: len(here) - level + 1] if level <= len(here) + 1 else here), *base]
        inside = bool(within) and base[: len(within)] == within
        if inside or (beside and base[0] not in sys.stdlib_module_names and base[0] not in RECORDED):
            inner = base[len(within) :] if inside else base
            yield inner
            yield from ([*inner, name] for name in names if name != "*")


@lru_cache(maxsize=1024)
def _statements(path: str, size: int, changed: int) -> tuple[tuple[int, str, tuple[str, ...]], ...]:
    """Return a Python file's import statements: dots before the module, the module, and the names taken from it."""
    try:
        tree = ast.parse(Path(path).read_bytes()) if path.endswith(".py") else ast.Module([], [])
    except (SyntaxError, ValueError):
        return ()
    found: list[tuple[int, str, tuple[str, ...]]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(0, alias.name, ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.level, node.module or "", tuple(alias.name for alias in node.names)))
    return tuple(found)


def _files_of(name: list[str], home: Path) -> list[Path]:
    """Return the files of a module below a folder: itself, and the packages that it lies in; none where none is."""
    module = home.joinpath(*name)
    found = [one for one in (module.with_name(f"{module.name}.py"), module / "__init__.py") if one.is_file()]
    return [*found, *_packages_above(module, home)] if found and name else []
