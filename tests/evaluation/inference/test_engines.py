"""Engines give torch's vectors, whatever the batch, or say plainly why they cannot."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from networked import Networked
from torch import Tensor, nn

from bench.contract import (
    EngineFacts,
    Images,
    ImageShape,
    Method,
    RunContext,
    RunSpec,
    SimbenchError,
    Split,
    UsageError,
    exporter_of,
    network_of,
)
from bench.evaluation.inference import engines
from bench.evaluation.inference.embed import embed_images
from bench.evaluation.inference.engines import (
    Compiled,
    Engine,
    EngineMethod,
    compile_network,
    on_engine,
    require_engine,
)
from bench.plugins import ENGINE
from bench.registry import get_plugin
from bench.training.embedder import Embedder

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
BOTH = pytest.mark.parametrize("engine", ["openvino", "onnx"])


class Mean:
    """A method without a network."""

    def fit(self, train: Split, validation: Split, run: RunContext) -> None:
        return None

    def embed(self, pixels: Tensor) -> Tensor:
        return pixels.mean(dim=(2, 3))


class Embeds(nn.Module):
    """An embedder's ``embed`` as a module."""

    def __init__(self, embedder: Embedder) -> None:
        super().__init__()
        self.embedder = embedder

    def forward(self, pixels: Tensor) -> Tensor:
        return self.embedder.embed(pixels)


def efficientnet() -> Networked:
    torch.manual_seed(0)
    return Networked(timm.create_model("test_efficientnet", pretrained=False, num_classes=0).eval())


def small() -> Networked:
    torch.manual_seed(0)
    # As trained methods do it: a wrapper made at the last moment, itself in training mode, around what is in eval mode.
    return Networked(Embeds(Embedder("resnet", ImageShape(28, 28, 1), 128).eval()))


def pictures(n: int, shape: ImageShape) -> Images:
    return Images(np.random.default_rng(0).integers(0, 256, (n, shape.height, shape.width, shape.channels), np.uint8))


def shaky(*factors: float) -> Engine:
    """Return an engine whose number formats are off by so much: noise of that strength on a flattened image."""

    def off(factor: float) -> Callable[[Tensor], Tensor]:
        return lambda pixels: pixels.flatten(1) + factor * torch.sin(torch.arange(pixels[0].numel()) * 1.7)

    return lambda network, shape, threads: iter([(f"format{factor:g}", off(factor)) for factor in factors])


# ------------------------------------------------------------------------------------------------ the same vectors


@BOTH
@pytest.mark.parametrize(
    ("method", "shape"),
    [(efficientnet, ImageShape(96, 80, 3)), (small, ImageShape(28, 28, 1))],
    ids=["timm", "own"],
)
def test_an_engine_gives_torchs_vectors_for_any_batch_size(
    engine: str, method: Callable[[], Networked], shape: ImageShape
) -> None:
    fitted, images = method(), pictures(61, shape)  # it takes 52 of this size in one portion: two portions
    compiled, facts = on_engine(fitted, engine, images, device=CPU, threads=1)
    wanted = embed_images(fitted, images, device=CPU)
    found = embed_images(compiled, images, device=CPU)
    assert (found * wanted).sum(axis=1).min() >= 0.998
    alone = embed_images(compiled, images.subset(np.arange(5)), device=CPU, batch_size=1)
    assert (alone * found[:5]).sum(axis=1).min() > 0.9999
    assert facts.name == engine
    assert facts.lowest_cosine is not None
    assert 0.998 <= facts.lowest_cosine <= 1.00001
    assert facts.precision in ({"float32"} if engine == "onnx" else {"bfloat16", "float32"})


@BOTH
def test_a_float32_engine_agrees_to_rounding(engine: str) -> None:
    method, shape = small(), ImageShape(28, 28, 1)
    pixels = torch.rand(9, 1, 28, 28)
    with torch.inference_mode():
        wanted = method.embed(pixels)
    for precision, run in get_plugin(ENGINE, engine)(method.network(), shape, 1):
        if precision == "float32":
            torch.testing.assert_close(run(pixels), wanted, atol=1e-5, rtol=0)
            break
    else:
        pytest.fail("no float32")


@BOTH
def test_compiling_leaves_the_method_as_it_was_and_takes_memory_in_any_order_and_inference_tensors(engine: str) -> None:
    method, images = small(), pictures(4, ImageShape(28, 28, 1))
    before = embed_images(method, images, device=CPU)
    compiled, _ = on_engine(method, engine, images, device=CPU, threads=1)
    np.testing.assert_array_equal(before, embed_images(method, images, device=CPU))
    assert not any(module.training for module in method.module.embedder.modules())  # type: ignore[union-attr]  # an Embeds
    pixels = torch.rand(4, 1, 28, 28)
    with torch.inference_mode():
        torch.testing.assert_close(
            compiled.embed(pixels * 1), compiled.embed(pixels.to(memory_format=torch.channels_last))
        )


def test_torch_is_the_method_itself() -> None:
    method = Mean()
    images = pictures(2, ImageShape(4, 4, 3))
    assert on_engine(method, "torch", images, device=CPU, threads=1) == (method, EngineFacts("torch"))


# ------------------------------------------------------------------------------------------------ torch's own compiler


def test_torchs_compiler_gives_torchs_vectors_for_any_batch_size() -> None:
    torch.manual_seed(0)
    fitted = Networked(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 5 * 6, 5)))
    images = pictures(70, ImageShape(7, 8, 3))
    compiled, facts = on_engine(fitted, "inductor", images, device=CPU, threads=1)
    wanted = embed_images(fitted, images, device=CPU)
    assert (embed_images(compiled, images, device=CPU, batch_size=64) * wanted).sum(axis=1).min() >= 0.998
    assert (facts.name, facts.version) == ("inductor", version("torch"))


def test_torchs_compiler_sees_a_few_sizes_in_one_layout_whatever_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, ...]] = []

    def recorded(module: torch.fx.GraphModule, example: list[Tensor]) -> Callable[..., Any]:
        seen.append(next(tuple(one.shape) for one in example if one.ndim == 4))
        return module.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=recorded))
    fitted, shape = small(), ImageShape(28, 28, 1)
    with torch.inference_mode():
        *_, (precision, run) = get_plugin(ENGINE, "inductor")(fitted.network(), shape, 1)
        for count in (1, 2, 64, 65, 256, 300, 1, 5):
            pixels = torch.rand(count, 1, 28, 28)
            for lying in (pixels, pixels.to(memory_format=torch.channels_last)):
                torch.testing.assert_close(run(lying), fitted.embed(lying), atol=1e-6, rtol=0)
    assert precision == "float32"
    assert seen == [(1, 28, 28, 1), (64, 28, 28, 1), (256, 28, 28, 1)]


# ------------------------------------------------------------------------------------------------ formats and refusals


def test_the_fastest_format_that_is_exact_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "get_plugin", lambda kind, name: shaky(0.5, 0.001, 0.0))
    compiled = compiled_by("shaky")
    assert compiled.precision == "format0.001"
    assert 0.998 < compiled.cosine < 1


def test_vectors_that_differ_in_every_format_are_refused_with_the_cosine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "get_plugin", lambda kind, name: shaky(0.9, float("nan"), 0.5))
    with pytest.raises(SimbenchError, match=r"--engine shaky computes other vectors than torch: cosine 0\.\d{4}"):
        compiled_by("shaky")


def compiled_by(engine: str) -> Compiled:
    samples = torch.rand(3, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    return compile_network(
        nn.Flatten(), ImageShape(6, 6, 1), engine, threads=1, samples=samples, expected=samples.flatten(1)
    )


class Fickle(nn.Module):
    """A network that no tracer can follow rightly: another sum for every size of the batch."""

    def forward(self, pixels: Tensor) -> Tensor:
        flat = pixels.flatten(1)
        return flat if len(pixels) == 2 else flat.flip(1)  # traced with two images


@BOTH
def test_a_network_that_tracing_breaks_is_caught(engine: str) -> None:
    with pytest.raises(SimbenchError, match=f"--engine {engine} (computes other vectors|cannot compile Fickle)"):
        on_engine(Networked(Fickle()), engine, pictures(5, ImageShape(9, 9, 3)), device=CPU, threads=1)


@BOTH
def test_a_network_that_cannot_be_converted_is_an_error_in_one_line(engine: str) -> None:
    level = logging.root.level

    class Opaque(nn.Module):
        def forward(self, pixels: Tensor) -> Tensor:
            values: Tensor = torch.linalg.eigvals(pixels[:, 0]).real
            return values

    with pytest.raises(SimbenchError, match=f"--engine {engine} cannot compile Opaque") as raised:
        on_engine(Networked(Opaque()), engine, pictures(5, ImageShape(9, 9, 3)), device=CPU, threads=1)
    assert "\n" not in str(raised.value)
    assert logging.root.level == level, "what the harness logs afterwards is still heard"


@pytest.mark.parametrize(
    ("engine", "package", "extra"),
    [("openvino", "openvino", "openvino"), ("onnx", "onnxruntime", "onnx"), ("onnx", "onnxscript", "onnx")],
)
def test_a_missing_package_is_named_with_the_way_to_get_it(
    monkeypatch: pytest.MonkeyPatch, engine: str, package: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError) as raised:
        require_engine(engine, "cpu", {})
    assert str(raised.value) == (
        f"--engine {engine} needs the package {package}: pip install 'simbench-retrieval[{extra}]'"
    )


def test_methods_without_a_network_are_named() -> None:
    methods: dict[str, Method] = {"mean": Mean(), "networked": Networked(nn.Flatten()), "other": Mean()}
    with pytest.raises(UsageError, match="needs methods with a network to compile: not mean, other"):
        require_engine("onnx", "cpu", methods)
    require_engine("torch", "cuda", methods)
    require_engine("inductor", "cuda", {"networked": Networked(nn.Flatten())})
    with pytest.raises(UsageError, match="a method with a network to compile: not Mean"):
        on_engine(Mean(), "onnx", pictures(2, ImageShape(4, 4, 3)), device=CPU, threads=1)


def test_another_device_than_the_cpu_and_an_unknown_engine_are_refused() -> None:
    with pytest.raises(UsageError, match="--engine openvino computes on cpu, not on cuda: give --device cpu"):
        require_engine("openvino", "cuda", {})
    with pytest.raises(UsageError, match=r"unknown engine 'tvm' \(known: inductor, onnx, openvino, torch\)"):
        require_engine("tvm", "cpu", {})


def test_a_compiled_method_is_not_fitted_again() -> None:
    method = EngineMethod(Mean(), lambda pixels: pixels.flatten(1))
    with pytest.raises(SimbenchError, match="Mean is compiled"):
        method.fit(None, None, None)  # type: ignore[arg-type]  # it looks at none of them


def test_the_ability_is_asked_of_the_method() -> None:
    method = Networked(nn.Flatten())
    assert exporter_of(method) is method
    assert network_of(method) is method.module
    assert exporter_of(Mean()) is None
    assert network_of(Mean()) is None


def test_the_engine_is_part_of_a_runs_key_but_torch_is_not() -> None:
    spec = RunSpec(dataset="digits", protocol="loo", method="pixels", fingerprint="abc", options={"center": False})
    assert spec.key == "0ea82047d2", "as before there were engines"
    assert replace(spec, engine="openvino").key != spec.key


def test_openvino_is_imported_without_its_telemetry(tmp_path: Path) -> None:
    code = (
        "import sys; from torch import nn; from bench.contract import ImageShape\n"
        "from bench.evaluation.inference.compile import openvino\n"
        "next(openvino(nn.Flatten(), ImageShape(4, 4, 1), 1))\n"
        "sys.exit(any(name.startswith('openvino_telemetry') for name in sys.modules))"
    )
    environment = {"HOME": str(tmp_path), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.rglob("*openvino*")) == []


# ------------------------------------------------------------------------------------------------ from end to end


@pytest.fixture
def simbench(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[int, str, str]]:
    """Call ``simbench WORDS...`` in this process, in an empty folder: exit code, stdout, stderr."""
    import bench.cli

    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["simbench", *words])
        with pytest.raises(SystemExit) as ended:
            bench.cli.main()
        return int(ended.value.code or 0), *capfd.readouterr()

    return call


def test_a_run_on_an_engine_scores_as_one_on_torch_and_says_so(
    simbench: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    records: dict[str, Any] = {}
    for engine in ("torch", "openvino", "onnx"):
        words = (
            "run",
            "-m",
            "arcface",
            "--epochs",
            "0.1",
            "-o",
            "batch_size=16",
            "--limit",
            "300",
            "--threads",
            "1",
            "--engine",
            engine,
            "--json",
        )
        code, out, err = simbench(*words)
        assert code == 0, err
        (records[engine],) = json.loads(out)
    for engine in ("openvino", "onnx"):
        assert records[engine]["engine"]["name"] == engine
        assert records[engine]["spec"]["engine"] == engine
        assert records[engine]["scores"]["map"] == pytest.approx(records["torch"]["scores"]["map"], abs=0.01)
        assert records[engine]["has_weights"]
        assert records[engine]["costs"]["n_parameters"] == records["torch"]["costs"]["n_parameters"]
        assert records[engine]["scores"].keys() == records["torch"]["scores"].keys(), "decoding scores too"
    board = (tmp_path / "runs" / "report" / "leaderboard.md").read_text(encoding="utf-8")
    assert "engine openvino" in board
    assert "engine onnx" in board
    assert "engine torch" not in board
    assert "arcface (engine=onnx)" in board


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["-m", "random", "--engine", "openvino"], "needs methods with a network to compile: not random"),
        (
            ["--engine", "openvin"],
            "unknown engine 'openvin'; did you mean 'openvino'? (known: inductor, onnx, ",
        ),
    ],
)
def test_an_engine_that_cannot_be_is_told_before_anything_is_trained(
    simbench: Callable[..., tuple[int, str, str]], tmp_path: Path, words: list[str], complaint: str
) -> None:
    code, _, err = simbench("run", *words)
    assert code == 2
    assert complaint in err
    assert not (tmp_path / "runs").exists()
