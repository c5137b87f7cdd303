"""The nouns that travel between the stages, and the promises a plugin makes.

Every object here is frozen and checks itself when it is made, so that a later stage never has to ask again. This room
imports nothing of ours and neither torch nor numpy at run time: listing and ``--help`` stay fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

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
from bench.contract.runs import RunSpec
from bench.contract.workplace import Workplace

if TYPE_CHECKING:
    from bench.contract.images import Ids as Ids
    from bench.contract.images import Labels as Labels
    from bench.contract.images import Pixels as Pixels
    from bench.contract.images import Vectors as Vectors

__all__ = [
    "DAMAGED_ARRAYS",
    "Baseline",
    "Budget",
    "Card",
    "Checkpoints",
    "Collection",
    "Counts",
    "DataError",
    "DataPlace",
    "Dataset",
    "Decodes",
    "Described",
    "EvaluationProtocol",
    "Exports",
    "Fetches",
    "History",
    "ImageShape",
    "Images",
    "Loader",
    "Method",
    "MethodError",
    "Progress",
    "Resize",
    "ResizeMode",
    "RunContext",
    "RunSpec",
    "Saves",
    "ScoresPairs",
    "SimbenchError",
    "Split",
    "UsageError",
    "Workplace",
    "baseline_of",
    "card_of",
    "decoder_of",
    "exporter_of",
    "network_of",
    "no_progress",
    "pair_scorer_of",
    "parameters_of",
    "saver_of",
    "uses_labels",
]
