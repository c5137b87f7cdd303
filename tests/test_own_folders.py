"""Plugins from files of one's own, outside any checkout: ``--methods DIR`` and ``--datasets DIR``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from programs import run_simbench

import bench
from bench.conformance import check_encoder
from bench.contract import ImageShape, SimbenchError, UsageError, Workplace, no_progress
from bench.evaluation.indexes.recipes import recipes
from bench.evaluation.inference.engines import compile_network
from bench.executors.child import job_text
from bench.plugins import ENCODER, METHOD
from bench.registry import get_method, get_plugin, plugin_names
from bench.training.trained import TrainedMethod

pytestmark = pytest.mark.slow

TRAINED = [name for name in plugin_names(METHOD) if issubclass(get_method(name), TrainedMethod)]
COLOUR = '''"""The mean colour, with a power from the file beside."""

from dataclasses import dataclass

from bench import method

from ._power import POWER


@method
@dataclass
class Colour:
    power: float = POWER

    def fit(self, train, validation, run):
        pass

    def embed(self, pixels):
        return pixels.pow(self.power).mean(dim=(2, 3)) + 1e-6
'''
TINY = '''"""Four by four places of the image, and a linear layer."""

import bench
from torch import nn


@bench.encoder
class Tiny(bench.Encoder):
    def __init__(self, shape, dim):
        super().__init__()
        self.layers = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(16 * shape.channels, dim))

    def forward(self, x):
        return self.layers(x)
'''
FUNCTIONS = '''from bench import IndexRecipe, engine, index


@index
def wide(n, d, k):
    """A graph with many links."""
    return [IndexRecipe("wide", "HNSW64,Flat", ({"efSearch": 64},))]


@engine()
def eager(network, shape, threads):
    """The network itself."""
    yield "float32", network
'''


@pytest.fixture
def own(tmp_path: Path, checkout: Path) -> tuple[Path, Path]:
    """A folder of own methods, an encoder, an index and an engine among them, and one with the docs' data set."""
    methods, datasets = tmp_path / "mine", tmp_path / "my sets"
    methods.mkdir()
    datasets.mkdir()
    for name, text in {
        "colour": COLOUR,
        "_power": "POWER = 2.0\n",
        "tiny": TINY,
        "functions": FUNCTIONS,
        "notes": "x = 1\n",
    }.items():
        (methods / f"{name}.py").write_text(text, encoding="utf-8")
    guide = next(checkout.glob("docs/**/adding-a-dataset.md")).read_text(encoding="utf-8")
    stripes = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)[0]
    (datasets / "stripes.py").write_text(stripes, encoding="utf-8")
    return methods, datasets


@pytest.fixture
def used(own: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of own methods, in use in this process until the test ends."""
    monkeypatch.setenv("SIMBENCH_METHODS", str(own[0]))
    return own[0]


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


@pytest.fixture
def simbench(tmp_path: Path) -> Callable[..., Done]:
    """Run ``simbench WORDS...`` as a program in an empty folder, environment variables by keyword."""
    empty = tmp_path / "empty"
    empty.mkdir()

    def call(*words: str, **env: str) -> Done:
        done = run_simbench(words, empty, {"SIMBENCH_CACHE": str(tmp_path / "cache"), **env})
        return Done(done.returncode, done.stdout, done.stderr)

    return call


def test_list_shows_own_files_of_every_kind(simbench: Callable[..., Done], own: tuple[Path, Path]) -> None:
    done = simbench("list", "--methods", str(own[0]), "--datasets", str(own[1]))
    assert done.code == 0, done.err
    for name, file in (
        ("colour", own[0] / "colour.py"),
        ("tiny", own[0] / "tiny.py"),
        ("wide", own[0] / "functions.py"),
        ("eager", own[0] / "functions.py"),
        ("stripes", own[1] / "stripes.py"),
    ):
        assert re.search(rf"^  {name} +\S.*\[{re.escape(str(file))}\]$", done.out, re.MULTILINE), name
    assert not re.search("^  (notes|functions)", done.out, re.MULTILINE), "files that bear no decorator are no plugins"


def test_own_method_on_own_data_runs_from_options_and_from_variables(
    simbench: Callable[..., Done], own: tuple[Path, Path]
) -> None:
    done = simbench("run", "-m", "colour", "-d", "stripes", "-q", "--methods", str(own[0]), "--datasets", str(own[1]))
    assert done.code == 0, done.err
    assert "| colour" in done.out
    variables = {"SIMBENCH_METHODS": str(own[0]), "SIMBENCH_DATASETS": str(own[1])}
    again = simbench("run", "-m", "colour", "-d", "stripes", "--dry-run", **variables)
    assert again.out.startswith("done"), again.out + again.err


def test_own_encoder_is_trained_kept_and_found_again_by_another_process(
    simbench: Callable[..., Done], own: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("-o", "encoder=tiny", "-o", "embedding_dim=8", "--limit", "120", "--epochs", "0.1", "--json")
    done = simbench("run", "-m", "softmax", *words, "--methods", str(own[0]))
    assert done.code == 0, done.err
    (content,) = json.loads(done.out)
    assert content["spec"]["options"]["encoder"] == "tiny"
    folder = tmp_path / "empty" / content["folder"]
    with pytest.raises(UsageError, match=r"unknown encoder 'tiny'.*needs its folder: --methods DIR"):
        bench.open_run(folder)
    monkeypatch.setenv("SIMBENCH_METHODS", "")  # so that what is set here ends with the test
    bench.use_folders(methods=[own[0]])
    assert bench.open_run(folder).dimension == 8


@pytest.mark.parametrize("name", TRAINED)
def test_own_encoder_works_with_every_trained_method(name: str, used: Path) -> None:
    method = get_method(name)(encoder="tiny", embedding_dim=8)  # type: ignore[call-arg]  # options of trained methods
    assert isinstance(method, TrainedMethod)
    shape, device = ImageShape(12, 10, 3), torch.device("cpu")
    method.build(shape, 3, device=device, weights="none", decoding=False)
    assert isinstance(method.embedder.encoder, get_plugin(ENCODER, "tiny"))
    assert method.embed(torch.rand(2, 3, 12, 10)).shape[0] == 2


def test_check_asks_own_methods_and_own_encoders_for_their_promises(
    simbench: Callable[..., Done], own: tuple[Path, Path]
) -> None:
    done = simbench("check", "colour", "tiny", "--methods", str(own[0]))
    assert done.code == 0, done.out + done.err
    assert "ok      tiny: can be trained" in done.out
    assert "ok      colour: fits and embeds grey 28x28 images" in done.out


@pytest.mark.parametrize("name", ["resnet", "airbench", "simplecnn", "embeddingnet", "timm/test_resnet"])
def test_built_in_encoders_keep_their_promises(name: str) -> None:
    assert [finding for finding in check_encoder(name) if not finding.good] == []


def test_an_encoder_that_looks_at_the_whole_batch_is_found_out(used: Path) -> None:
    text = (used / "tiny.py").read_text(encoding="utf-8").replace("Tiny", "Odd")
    text = text.replace("return self.layers(x)", "return self.layers(x) - self.layers(x).mean(0)")
    (used / "odd.py").write_text(text, encoding="utf-8")
    broken = [finding.promise for finding in check_encoder("odd") if not finding.good]
    assert broken == ["encodes an image alike alone and in a batch"]


def test_own_index_and_own_engine_are_used_by_name(used: Path) -> None:
    assert [(one.family, one.factory) for one in recipes(100, 8, 5, ["wide"])] == [("wide", "HNSW64,Flat")]
    pixels = torch.rand(3, 1, 4, 4)
    compiled = compile_network(
        torch.nn.Flatten(), ImageShape(4, 4, 1), "eager", threads=1, samples=pixels, expected=pixels.flatten(1)
    )
    assert compiled.precision == "float32"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["run", "-m", "color"], "unknown method 'color'; did you mean 'colour'?"),
        (["run", "-m", "notes"], "notes.py has no top-level @method"),
        (["run", "-m", "softmax", "-o", "encoder=tyni"], "unknown encoder 'tyni'; did you mean 'tiny'?"),
        (["run", "-m", "softmax", "--engine", "eagr"], "unknown engine 'eagr'; did you mean 'eager'?"),
        (["list", "--datasets", "nowhere"], "--datasets: no such folder: "),
    ],
)
def test_unknown_names_are_told_in_one_line_with_exit_code_2(
    simbench: Callable[..., Done], own: tuple[Path, Path], words: list[str], complaint: str
) -> None:
    done = simbench(*words, "--methods", str(own[0]))
    assert done.code == 2, done.out + done.err
    (line,) = done.err.splitlines()
    assert complaint in line


def test_a_file_named_like_a_built_in_method_is_refused(used: Path) -> None:
    (used / "arcface.py").write_text(COLOUR, encoding="utf-8")
    with pytest.raises(
        SimbenchError, match=r"arcface\.py brings a method called 'arcface', which simbench has already"
    ):
        plugin_names(METHOD)


def test_a_file_that_cannot_be_imported_is_named_with_the_reason(used: Path) -> None:
    (used / "lacking.py").write_text("import no_such_package\n" + COLOUR, encoding="utf-8")
    with pytest.raises(SimbenchError, match=r"cannot import the method lacking of .*lacking\.py: ModuleNotFoundError"):
        get_method("lacking")


def test_a_checkouts_own_folder_brings_nothing_twice(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMBENCH_METHODS", str(checkout / "methods"))
    assert "arcface" in plugin_names(METHOD)


def test_jobs_for_other_machines_name_the_folders(used: Path, tmp_path: Path) -> None:
    place = Workplace(tmp_path, torch.device("cpu"), 1, no_progress, print)
    assert json.loads(job_text("some.module", place, {}))["plugins"] == {"SIMBENCH_METHODS": str(used)}


def test_suites_that_come_with_simbench_are_listed_and_run_in_an_empty_folder(
    simbench: Callable[..., Done], own: tuple[Path, Path]
) -> None:
    listed = simbench("bench", "--list")
    assert listed.code == 0, listed.err
    assert re.search("^  quick +All methods", listed.out, re.MULTILINE)
    fewer = ("--set", "suite.quick.methods=colour", "--set", "suite.quick.datasets=digits")
    done = simbench("bench", "--suite", "quick", *fewer, "-q", "--methods", str(own[0]))
    assert done.code == 0, done.out + done.err
    assert "| colour" in done.out
