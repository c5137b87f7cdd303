"""The public names and where each lives: what type checkers read, and `bench` at run time. No other list has them."""

from bench.contract import Collection as Collection
from bench.contract import DataError as DataError
from bench.contract import DataPlace as DataPlace
from bench.contract import Dataset as Dataset
from bench.contract import Images as Images
from bench.contract import ImageShape as ImageShape
from bench.contract import Relevance as Relevance
from bench.contract import RunContext as RunContext
from bench.contract import SimbenchError as SimbenchError
from bench.contract import Split as Split
from bench.contract import UsageError as UsageError
from bench.evaluation.evaluate import Evaluation as Evaluation
from bench.evaluation.evaluate import evaluate as evaluate
from bench.evaluation.indexes.recipes import IndexRecipe as IndexRecipe
from bench.options import file_option as file_option
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

__version__: str
