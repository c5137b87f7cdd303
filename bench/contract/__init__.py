"""The nouns that travel between the stages, and the promises a plugin makes.

Every object here is frozen and checks itself when it is made, so that a later stage never has to ask again. This room
imports nothing of ours and neither torch nor numpy at run time: listing and ``--help`` stay fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.contract.checks import Audit as Audit
from bench.contract.checks import Control as Control
from bench.contract.checks import Fitted as Fitted
from bench.contract.checks import Measured as Measured
from bench.contract.checks import OnTest as OnTest
from bench.contract.checks import OpenSet as OpenSet
from bench.contract.checks import Overlap as Overlap
from bench.contract.checks import Point as Point
from bench.contract.checks import Rejection as Rejection
from bench.contract.checks import Thresholds as Thresholds
from bench.contract.datasets import Collection as Collection
from bench.contract.datasets import Dataset as Dataset
from bench.contract.datasets import EvaluationProtocol as EvaluationProtocol
from bench.contract.errors import DAMAGED_ARRAYS as DAMAGED_ARRAYS
from bench.contract.errors import DataError as DataError
from bench.contract.errors import MethodError as MethodError
from bench.contract.errors import SimbenchError as SimbenchError
from bench.contract.errors import UsageError as UsageError
from bench.contract.images import DRAW as DRAW
from bench.contract.images import FIRST as FIRST
from bench.contract.images import LEAVES_NONE_OUT as LEAVES_NONE_OUT
from bench.contract.images import Draw as Draw
from bench.contract.images import Images as Images
from bench.contract.images import ImageShape as ImageShape
from bench.contract.images import LazyPixels as LazyPixels
from bench.contract.images import Resize as Resize
from bench.contract.images import ResizeMode as ResizeMode
from bench.contract.images import Size as Size
from bench.contract.images import Split as Split
from bench.contract.loaders import Card as Card
from bench.contract.loaders import DataPlace as DataPlace
from bench.contract.loaders import Described as Described
from bench.contract.loaders import Fetches as Fetches
from bench.contract.loaders import Loader as Loader
from bench.contract.loaders import card_of as card_of
from bench.contract.methods import Baseline as Baseline
from bench.contract.methods import Counts as Counts
from bench.contract.methods import Decodes as Decodes
from bench.contract.methods import Exports as Exports
from bench.contract.methods import Method as Method
from bench.contract.methods import Saves as Saves
from bench.contract.methods import ScoresPairs as ScoresPairs
from bench.contract.methods import asked_size as asked_size
from bench.contract.methods import baseline_of as baseline_of
from bench.contract.methods import decoder_of as decoder_of
from bench.contract.methods import exporter_of as exporter_of
from bench.contract.methods import native_size as native_size
from bench.contract.methods import network_of as network_of
from bench.contract.methods import pair_scorer_of as pair_scorer_of
from bench.contract.methods import parameters_of as parameters_of
from bench.contract.methods import saver_of as saver_of
from bench.contract.methods import uses_labels as uses_labels
from bench.contract.relevance import Relevance as Relevance
from bench.contract.results import SCHEMA as SCHEMA
from bench.contract.results import Costs as Costs
from bench.contract.results import DataFacts as DataFacts
from bench.contract.results import Digests as Digests
from bench.contract.results import EngineFacts as EngineFacts
from bench.contract.results import Provenance as Provenance
from bench.contract.results import RunResult as RunResult
from bench.contract.runs import GIVEN as GIVEN
from bench.contract.runs import Budget as Budget
from bench.contract.runs import Checkpoints as Checkpoints
from bench.contract.runs import History as History
from bench.contract.runs import Progress as Progress
from bench.contract.runs import RunContext as RunContext
from bench.contract.runs import RunSpec as RunSpec
from bench.contract.runs import Workplace as Workplace
from bench.contract.runs import no_progress as no_progress
from bench.contract.serialization import from_jsonable as from_jsonable
from bench.contract.serialization import to_jsonable as to_jsonable

if TYPE_CHECKING:
    from bench.contract.images import Ids as Ids
    from bench.contract.images import Labels as Labels
    from bench.contract.images import Pixels as Pixels
    from bench.contract.images import Vectors as Vectors
