"""The import rules of docs/architecture.md, read off the source."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

LAYERS = {
    "contract": set(),
    "naming": set(),
    "processors": set(),
    "online": set(),
    "places": set(),
    "look": set(),
    "registry": {"contract", "naming"},
    "options": {"contract", "naming", "registry"},
    "config": {"contract", "naming", "registry", "options"},
    "data": {"contract", "naming", "processors", "online"},
    "training": {"contract", "naming", "options", "online"},
    "evaluation": {"contract", "naming", "processors"},
    "runs": {
        "contract",
        "naming",
        "processors",
        "registry",
        "options",
        "config",
        "data",
        "training",
        "evaluation",
        "__init__",
    },
    "report": {"contract", "naming", "runs", "evaluation", "data"},
    "app": {"contract", "naming", "runs", "evaluation", "data"},
    "cli": {
        "contract",
        "naming",
        "registry",
        "options",
        "config",
        "data",
        "evaluation",
        "runs",
        "report",
        "app",
        "places",
        "processors",
        "__init__",
    },
    "session": {"contract", "naming", "options", "config", "runs", "app", "places", "processors"},
}
FACE = {"contract", "registry", "evaluation", "session"}


def imports_of(path: Path, module: str) -> list[str]:
    """Return the full names of what a file imports from us, those for type checkers only left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: list[str] = []

    def walk(node: ast.AST) -> None:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return
        if isinstance(node, ast.Import):
            found.extend(alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            package = module.split(".")[: -node.level] if node.level else []
            base = ".".join([*package, *([node.module] if node.module else [])])
            found.extend([base, *(f"{base}.{alias.name}" for alias in node.names)])
        for child in ast.iter_child_nodes(node):
            walk(child)

    walk(tree)
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


def test_every_room_of_bench_imports_only_what_the_architecture_allows(checkout: Path) -> None:
    broken = []
    for module, path in modules(checkout).items():
        home = room(module)
        if home in ("__init__", "methods", "datasets"):
            continue
        for name in imports_of(path, module):
            target = room(name)
            if target in {home, "__version__"}:
                continue
            if target not in LAYERS[home]:
                broken.append(f"{module} imports {name}")
    assert broken == []


def test_methods_and_data_sets_import_the_face_their_room_and_private_siblings_only(checkout: Path) -> None:
    broken = []
    allowed = {"methods": {"training"}, "datasets": {"data", "contract", "registry"}}
    for module, path in modules(checkout).items():
        home = room(module)
        if home not in allowed or module in ("bench.methods", "bench.datasets"):
            continue
        for name in imports_of(path, module):
            parts = name.split(".")
            if name == "bench" or (len(parts) == 2 and parts[1] not in LAYERS):
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


def test_there_is_no_import_circle(checkout: Path) -> None:
    known = modules(checkout)
    graph = {
        module: {name for name in imports_of(path, module) if name in known and name not in {module, "bench"}}
        for module, path in known.items()
    }
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, f"circle: {' -> '.join([*path, module])}"
        if module in done:
            return
        for target in graph[module]:
            if not module.startswith(target + "."):  # a package is imported before its modules by necessity
                visit(target, (*path, module))
        done.add(module)

    for module in graph:
        visit(module, ())


@pytest.mark.parametrize("heavy", ["torch", "pandas", "sklearn", "faiss"])
def test_the_command_line_starts_without_heavy_imports(heavy: str) -> None:
    code = f"import sys, bench.cli; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False).returncode == 0


def test_no_file_is_named_after_nothing_in_particular(checkout: Path) -> None:
    vague = {"utils", "util", "common", "helpers", "misc"}
    assert [str(path) for path in modules(checkout).values() if vague & set(path.with_suffix("").parts[-2:])] == []
