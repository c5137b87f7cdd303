"""A model from elsewhere as a method: what it is given, what is refused in one line."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.contract import (
    Budget,
    DataError,
    Images,
    ImageShape,
    MethodError,
    RunContext,
    SimbenchError,
    Split,
    UsageError,
    no_progress,
)
from bench.evaluation.inference.compile import onnx_program
from bench.training.imported import ImportedModel

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
CPU = torch.device("cpu")


class Pooled(nn.Module):
    """Channel means and maxima; what it does is plain to see in its output."""

    def forward(self, pixels: Tensor) -> Tensor:
        return torch.cat([pixels.mean(dim=(2, 3)), pixels.amax(dim=(2, 3))], dim=1)


class Flat(nn.Module):
    def __init__(self, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.change = change

    def forward(self, pixels: Tensor) -> Tensor:
        return self.change(pixels)


def split(height: int = 8, width: int = 8, channels: int = 3, n: int = 6) -> Split:
    pixels = np.random.default_rng(0).integers(0, 256, (n, height, width, channels), dtype=np.uint8)
    return Split(Images(pixels), np.arange(n), np.array([f"i{row}" for row in range(n)]))


def fitted(model: ImportedModel, part: Split) -> ImportedModel:
    context = RunContext(0, CPU, ("a",), False, Budget(), None, None, no_progress, print)  # type: ignore[arg-type]
    model.fit(part, part, context)
    return model


def written(path: Path, network: nn.Module, *shape: int) -> str:
    path.write_bytes(onnx_program(network, torch.full(shape, 0.5)))
    return str(path)


def floats(part: Split) -> Tensor:
    return torch.from_numpy(part.images.pixels).permute(0, 3, 1, 2).float() / 255


def test_onnx_and_torchscript_embed_as_the_network_does(tmp_path: Path) -> None:
    part = split()
    script = tmp_path / "model.pt"
    torch.jit.trace(Pooled(), torch.zeros(2, 3, 8, 8)).save(str(script))  # type: ignore[no-untyped-call]
    for file in (written(tmp_path / "model.onnx", Pooled(), 2, 3, 8, 8), str(script)):
        vectors = fitted(ImportedModel(file), part).embed(floats(part))
        assert vectors.numpy() == pytest.approx(Pooled()(floats(part)).numpy(), abs=1e-6)


def test_bytes_mean_and_std_are_done_before_the_file(tmp_path: Path) -> None:
    part = split()
    file = written(tmp_path / "model.onnx", Pooled(), 2, 3, 8, 8)
    model = fitted(ImportedModel(file, scale="bytes", mean=(10.0, 20.0, 30.0), std=(2.0,)), part)
    by_hand = (part.images.pixels.astype(np.float64) - [10, 20, 30]) / 2
    expected = np.concatenate([by_hand.mean(axis=(1, 2)), by_hand.max(axis=(1, 2))], axis=1)
    assert model.embed(floats(part)).numpy() == pytest.approx(expected, abs=1e-3)


def test_grey_pictures_are_shown_as_three_equal_channels(tmp_path: Path) -> None:
    part = split(channels=1)
    model = fitted(ImportedModel(written(tmp_path / "model.onnx", Pooled(), 2, 3, 8, 8)), part)
    vectors = model.embed(floats(part))
    assert vectors.shape == (6, 6)
    assert torch.equal(vectors[:, 0], vectors[:, 2])


def test_a_run_holds_the_file_itself(tmp_path: Path) -> None:
    part, file = split(), tmp_path / "model.onnx"
    model = fitted(ImportedModel(written(file, Pooled(), 2, 3, 8, 8)), part)
    file.unlink()
    again = ImportedModel(str(file))
    again.restore(model.state(), ImageShape(8, 8, 3), CPU)
    assert torch.equal(again.embed(floats(part)), model.embed(floats(part)))


def test_the_size_that_a_file_fixes_is_asked_for(tmp_path: Path) -> None:
    assert ImportedModel(written(tmp_path / "model.onnx", Pooled(), 2, 3, 24, 16)).native_size == (24, 16)


def double(pixels: Tensor) -> Tensor:
    return pixels.mean(dim=(2, 3)) / 0.0 * 0.0


@pytest.mark.parametrize(
    ("network", "shape", "said"),
    [
        (Pooled(), (2, 3, 16, 16), "takes images of 16x16 pixels, these are 8x8"),
        (Pooled(), (2, 5, 8, 8), "5 channels"),
        (Flat(lambda pixels: pixels.mean(dim=2)), (2, 3, 8), "no batch axis"),
        (Flat(lambda pixels: pixels * 2), (2, 3, 8, 8), "pool it to one vector"),
        (Flat(double), (2, 3, 8, 8), "not finite"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(
    tmp_path: Path, network: nn.Module, shape: tuple[int, ...], said: str
) -> None:
    file = written(tmp_path / "model.onnx", network, *shape)
    with pytest.raises((DataError, MethodError), match=said) as told:
        fitted(ImportedModel(file), split())
    assert "\n" not in str(told.value)
    assert file in str(told.value)


def test_whole_number_input_is_refused(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load_model_from_string(onnx_program(Flat(lambda p: p.mean(dim=(2, 3))), torch.zeros(2, 3, 8, 8)))
    helper, kind = onnx.helper, onnx.TensorProto
    cast = helper.make_node("Cast", ["whole"], ["out"], to=kind.FLOAT)
    graph = helper.make_graph(
        [cast],
        "g",
        [helper.make_tensor_value_info("whole", kind.UINT8, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("out", kind.FLOAT, ["n", 3, 8, 8])],
    )
    file = tmp_path / "whole.onnx"
    opsets = [one for one in model.opset_import if not one.domain]
    file.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=model.ir_version).SerializeToString())
    with pytest.raises(DataError, match=r"input is tensor\(uint8\), not float32"):
        fitted(ImportedModel(str(file)), split())


def test_a_file_that_is_no_model_or_not_there_is_told(tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    other.write_bytes(b"not a model")
    broken = tmp_path / "broken.pt"
    broken.write_bytes(b"PK" + io.BytesIO(b"\0" * 50).read())
    for file, error in ((str(other), DataError), (str(broken), DataError), ("nowhere.onnx", DataError)):
        with pytest.raises(error, match=Path(file).name):
            fitted(ImportedModel(file), split())
    with pytest.raises(UsageError, match="needs -o file"):
        fitted(ImportedModel(), split())
    with pytest.raises(ValueError, match="one number or three"):
        ImportedModel("x.onnx", mean=(1.0, 2.0))
    assert issubclass(DataError, SimbenchError)
