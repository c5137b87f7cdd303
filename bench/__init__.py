"""simbench: which image-retrieval method should you use?

The few public names, as ``__init__.pyi`` lists them. They are imported when first used, so that ``import bench`` costs
nothing.
"""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from typing import Any

from bench.environment import version

_STUB = ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
_HOME = {one.name: str(node.module) for node in _STUB.body if isinstance(node, ast.ImportFrom) for one in node.names}
__all__ = sorted(_HOME)  # noqa: PLE0605 - one list of names is enough


def __dir__() -> list[str]:
    """The public API, whatever else has been imported."""
    return [*__all__, "__version__"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version()
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'bench' has no attribute {name!r}")
