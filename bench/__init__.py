"""simbench: which image-retrieval method should you use?

The few public names. They are imported when first used, so that ``import bench`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from bench.environment import version

_HOME = {
    name: home
    for home, names in {
        "bench.contract": (
            *("Collection", "DataError", "DataPlace", "Dataset", "ImageShape", "Images", "RunContext"),
            *("SimbenchError", "Split", "UsageError"),
        ),
        "bench.plugins": ("dataset", "encoder", "engine", "index", "method"),
        "bench.registry": ("use_folders",),
        "bench.training.encoders.encoder": ("Encoder",),
        "bench.evaluation.indexes.recipes": ("IndexRecipe",),
        "bench.options": ("tunable",),
        "bench.evaluation.evaluate": ("Evaluation", "evaluate"),
        "bench.session": ("load", "open_run", "open_search", "per_query", "run", "runs_frame"),
    }.items()
    for name in names
}
__all__ = sorted(_HOME)  # noqa: PLE0605 - one list of names is enough

if TYPE_CHECKING:
    from bench.contract import Collection as Collection
    from bench.contract import DataError as DataError
    from bench.contract import DataPlace as DataPlace
    from bench.contract import Dataset as Dataset
    from bench.contract import Images as Images
    from bench.contract import ImageShape as ImageShape
    from bench.contract import RunContext as RunContext
    from bench.contract import SimbenchError as SimbenchError
    from bench.contract import Split as Split
    from bench.contract import UsageError as UsageError
    from bench.evaluation.evaluate import Evaluation as Evaluation
    from bench.evaluation.evaluate import evaluate as evaluate
    from bench.evaluation.indexes.recipes import IndexRecipe as IndexRecipe
    from bench.options import tunable as tunable
    from bench.plugins import dataset as dataset
    from bench.plugins import encoder as encoder
    from bench.plugins import engine as engine
    from bench.plugins import index as index
    from bench.plugins import method as method
    from bench.registry import use_folders as use_folders
    from bench.session import load as load
    from bench.session import open_run as open_run
    from bench.session import open_search as open_search
    from bench.session import per_query as per_query
    from bench.session import run as run
    from bench.session import runs_frame as runs_frame
    from bench.training.encoders.encoder import Encoder as Encoder


def __dir__() -> list[str]:
    """The public API, whatever else has been imported."""
    return [*__all__, "__version__"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version()
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'bench' has no attribute {name!r}")
