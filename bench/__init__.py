"""simbench: which image-retrieval method should you use?

The few public names. They are imported when first used, so that ``import bench`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from bench.environment import version

_HOME = {
    "Collection": "bench.contract",
    "DataError": "bench.contract",
    "DataPlace": "bench.contract",
    "Dataset": "bench.contract",
    "RunContext": "bench.contract",
    "ImageShape": "bench.contract",
    "Images": "bench.contract",
    "SimbenchError": "bench.contract",
    "Split": "bench.contract",
    "UsageError": "bench.contract",
    "dataset": "bench.registry",
    "method": "bench.registry",
    "tunable": "bench.options",
    "Evaluation": "bench.evaluation.evaluate",
    "evaluate": "bench.evaluation.evaluate",
    "load": "bench.session",
    "open_run": "bench.session",
    "run": "bench.session",
    "search": "bench.session",
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
    from bench.options import tunable as tunable
    from bench.registry import dataset as dataset
    from bench.registry import method as method
    from bench.session import load as load
    from bench.session import open_run as open_run
    from bench.session import run as run
    from bench.session import search as search


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version()
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'bench' has no attribute {name!r}")
