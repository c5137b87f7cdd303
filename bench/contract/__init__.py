"""The nouns that travel between the stages, and the promises a plugin makes.

Every object here is frozen and checks itself when it is made, so that a later stage never has to ask again. This room
imports nothing of ours and neither torch nor numpy at run time: listing and ``--help`` stay fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.contract.checks import (
    Audit,
    Control,
    Fitted,
    Measured,
    OnTest,
    OpenSet,
    Overlap,
    Point,
    Rejection,
    Thresholds,
)
from bench.contract.errors import DAMAGED_ARRAYS, DataError, MethodError, SimbenchError, UsageError
from bench.contract.fitting import Budget, Checkpoints, History, Progress, RunContext, no_progress
from bench.contract.images import Collection, Dataset, EvaluationProtocol, Images, ImageShape, Resize, ResizeMode, Split
from bench.contract.loaders import Card, DataPlace, Described, Fetches, Loader, card_of
from bench.contract.methods import (
    Baseline,
    Counts,
    Decodes,
    Exports,
    Method,
    Saves,
    ScoresPairs,
    baseline_of,
    decoder_of,
    exporter_of,
    network_of,
    pair_scorer_of,
    parameters_of,
    saver_of,
    uses_labels,
)
from bench.contract.results import Costs, DataFacts, Digests, EngineFacts, Provenance, RunResult
from bench.contract.runs import RunSpec, Workplace
from bench.contract.serialization import from_jsonable, to_jsonable

if TYPE_CHECKING:
    from bench.contract.images import Ids as Ids
    from bench.contract.images import Labels as Labels
    from bench.contract.images import Pixels as Pixels
    from bench.contract.images import Vectors as Vectors

__all__ = [
    "DAMAGED_ARRAYS",
    "Audit",
    "Baseline",
    "Budget",
    "Card",
    "Checkpoints",
    "Collection",
    "Control",
    "Costs",
    "Counts",
    "DataError",
    "DataFacts",
    "DataPlace",
    "Dataset",
    "Decodes",
    "Described",
    "Digests",
    "EngineFacts",
    "EvaluationProtocol",
    "Exports",
    "Fetches",
    "Fitted",
    "History",
    "ImageShape",
    "Images",
    "Loader",
    "Measured",
    "Method",
    "MethodError",
    "OnTest",
    "OpenSet",
    "Overlap",
    "Point",
    "Progress",
    "Provenance",
    "Rejection",
    "Resize",
    "ResizeMode",
    "RunContext",
    "RunResult",
    "RunSpec",
    "Saves",
    "ScoresPairs",
    "SimbenchError",
    "Split",
    "Thresholds",
    "UsageError",
    "Workplace",
    "baseline_of",
    "card_of",
    "decoder_of",
    "exporter_of",
    "from_jsonable",
    "network_of",
    "no_progress",
    "pair_scorer_of",
    "parameters_of",
    "saver_of",
    "to_jsonable",
    "uses_labels",
]
