"""The import rules of docs/design/architecture.md, read off the source."""

from __future__ import annotations

import ast
import itertools
import subprocess
import sys
from pathlib import Path

import pytest

BASE = {"contract", "naming", "environment", "devices", "files", "look", "plugins", "uploads"}  # what all may use
MAY_IMPORT = {
    "contract": set(),
    "naming": set(),
    "environment": {"contract"},
    "files": {"contract"},
    "look": set(),
    "uploads": set(),
    "devices": set(),
    "principal_components": {"contract"},
    "plugins": {"contract", "environment"},
    "registry": BASE,
    "options": BASE | {"registry"},
    "config": BASE | {"registry", "options"},
    "data": BASE | {"registry"},
    "training": BASE | {"registry", "options", "principal_components"},
    "evaluation": BASE | {"registry", "options", "principal_components"},
    "executors": BASE,
    "runs": BASE | {"registry", "options", "config", "data", "training", "evaluation"},
}
FINISHED_RUNS = BASE | {"runs", "evaluation", "data"}
MAY_IMPORT["report"] = FINISHED_RUNS
MAY_IMPORT["search"] = FINISHED_RUNS | {"executors"}
MAY_IMPORT["export"] = FINISHED_RUNS | {"training", "principal_components"}
MAY_IMPORT["serve"] = FINISHED_RUNS | {"search"}
MANY_RUNS = MAY_IMPORT["runs"] | {"runs", "executors"}
MAY_IMPORT["suites"] = MAY_IMPORT["tuning"] = MAY_IMPORT["conformance"] = MANY_RUNS
MAY_IMPORT["choose"] = MANY_RUNS | {"suites", "report", "search"}
MAY_IMPORT["session"] = MANY_RUNS | {"search", "report"}
MAY_IMPORT["cli"] = set(MAY_IMPORT) - {"session"}
FACE = {"contract", "plugins", "registry", "training", "evaluation", "options", "session", "environment"}
MAY_IMPORT["__init__"] = FACE


def imports_of(path: Path, module: str) -> list[str]:
    """Return the full names of what a file imports from us: at the top, in functions, and for type checkers."""
    found: list[str] = []
    texts = [one.read_text(encoding="utf-8") for one in (path, path.with_suffix(".pyi")) if one.exists()]
    for node in itertools.chain.from_iterable(ast.walk(ast.parse(text)) for text in texts):
        if isinstance(node, ast.Import):
            found.extend(alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            package = module.split(".")[: -node.level] if node.level else []
            base = ".".join([*package, *([node.module] if node.module else [])])
            found.extend([base, *(f"{base}.{alias.name}" for alias in node.names)])
    return [name for name in found if name == "bench" or name.startswith("bench.")]


def modules(checkout: Path) -> dict[str, Path]:
    found = {}
    for folder, package in (("bench", "bench"), ("methods", "bench.methods"), ("datasets", "bench.datasets")):
        for path in (checkout / folder).rglob("*.py"):
            parts = path.relative_to(checkout / folder).with_suffix("").parts
            found[".".join([package, *(part for part in parts if part != "__init__")])] = path
    return found


def room(name: str) -> str:
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def test_every_room_imports_only_what_the_architecture_allows(checkout: Path) -> None:
    broken = []
    for module, path in modules(checkout).items():
        home = room(module)
        if home in ("methods", "datasets"):
            continue
        allowed = MAY_IMPORT[home] | {home, "__init__"}
        broken += [f"{module} imports {name}" for name in imports_of(path, module) if room(name) not in allowed]
    assert broken == []


def test_plugins_import_the_public_names_their_room_and_private_siblings(checkout: Path) -> None:
    broken = []
    allowed = {
        "methods": {"training", "principal_components"},
        "datasets": {"data", "contract", "registry", "naming", "environment"},
    }
    for module, path in modules(checkout).items():
        home = room(module)
        if home not in allowed or module in ("bench.methods", "bench.datasets"):
            continue
        for name in imports_of(path, module):
            parts = name.split(".")
            if name == "bench" or (len(parts) == 2 and parts[1] not in MAY_IMPORT):
                continue
            private_sibling = parts[1] == home and (len(parts) == 2 or parts[2].startswith("_"))
            if parts[1] not in allowed[home] and not private_sibling:
                broken.append(f"{module} imports {name}")
    assert broken == []


def test_nobody_imports_a_plugin_by_name(checkout: Path) -> None:
    everything = modules(checkout) | {
        ".".join(path.relative_to(checkout).with_suffix("").parts): path for path in (checkout / "tests").rglob("*.py")
    }
    named = [
        f"{module} imports {name}"
        for module, path in everything.items()
        for name in imports_of(path, module)
        if name.split(".")[1:2] in (["methods"], ["datasets"])
        and not module.startswith(("bench.methods", "bench.datasets"))
    ]
    assert named == []


def graph_of(known: dict[str, Path]) -> dict[str, set[str]]:
    """Return each module's imports among the known ones; a package's own face counts where it is asked for a name."""
    graph: dict[str, set[str]] = {module: set() for module in known}
    for module, path in known.items():
        named = imports_of(path, module)
        submodules = {name for name in named if name in known}
        # `from package import module` names the package too, which holds nothing but a docstring then
        bare = {name for name in submodules if any(other.startswith(f"{name}.") for other in submodules)}
        graph[module] = {name for name in submodules - bare if name != module and not module.startswith(f"{name}.")}
    return graph


def folder(module: str, known: dict[str, Path]) -> str:
    """Return the folder of a module; the files beside bench/__init__.py are rooms of their own."""
    is_package = known[module].name == "__init__.py"
    return module if is_package or module.count(".") == 1 else module.rpartition(".")[0]


def circle_in(graph: dict[str, set[str]]) -> str:
    """Return the first circle as a line of names, or nothing."""
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> str:
        if name in way:
            return " -> ".join([*way[way.index(name) :], name])
        if name in done:
            return ""
        for target in sorted(graph[name]):
            if found := visit(target, (*way, name)):
                return found
        done.add(name)
        return ""

    return next(filter(None, (visit(name, ()) for name in sorted(graph))), "")


def test_there_is_no_import_circle_of_files(checkout: Path) -> None:
    assert circle_in(graph_of(modules(checkout))) == ""


def test_there_is_no_import_circle_of_folders(checkout: Path) -> None:
    known = modules(checkout)
    graph: dict[str, set[str]] = {folder(module, known): set() for module in known}
    for module, targets in graph_of(known).items():
        home = folder(module, known)
        graph[home] |= {folder(target, known) for target in targets} - {home}
    assert circle_in(graph) == ""


def test_a_circle_is_found_and_told() -> None:
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == "b -> c -> b"
    assert circle_in({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == ""


# 220 of the harness; choosing, distilling and folders that change; thresholds in use; export and import; lists of
# answers, benchmarks and published figures; a researcher's workbench; training, ranking and embedding on a card, and
# many runs on one.
MOST_MODULES = 288


def test_the_house_stays_small_enough_to_take_in(checkout: Path) -> None:
    files = [path for path in (checkout / "bench").rglob("*.py") if path.name != "__init__.py"]
    assert len(files) <= MOST_MODULES
    assert [str(path) for path in files if len(path.read_text("utf-8").splitlines()) > 300] == []
    full = {path.parent for path in files if sum(other.parent == path.parent for other in files) > 26}
    assert full == set()


@pytest.mark.parametrize("heavy", ["torch", "pandas", "sklearn", "faiss"])
def test_the_command_line_starts_without_heavy_imports(heavy: str) -> None:
    code = f"import sys, bench.cli; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False).returncode == 0


def test_no_file_is_named_after_nothing_in_particular(checkout: Path) -> None:
    vague = {"utils", "util", "common", "helpers", "misc"}
    assert [str(path) for path in modules(checkout).values() if vague & set(path.with_suffix("").parts[-2:])] == []
