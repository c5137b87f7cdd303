"""A network compiled by OpenVINO, ONNX Runtime or torch's own compiler: from the fastest number format to the exact."""

from __future__ import annotations

import itertools
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.contract import ImageShape
from bench.devices import has_native_bfloat16
from bench.environment import images_at_once
from bench.evaluation.ranking.arrays import Vectors
from bench.plugins import engine

Run = Callable[[Tensor], Tensor]

# Activations of a few images stay in the processor's cache, those of 64 photographs do not: Lite0 at 224 pixels embeds
# a batch of 64 a third faster by eights. Small images go through in larger portions, of as many pixels.
_PORTION_PIXELS = 8 * 224 * 224
_USUAL = 64  # images in a batch that is timed


@engine("openvino")
def openvino(network: nn.Module, shape: ImageShape, threads: int) -> Iterator[tuple[str, Run]]:
    """OpenVINO on the CPU: bfloat16 where the processor multiplies it, else float32.

    Yields (number format, function from float32 ``(n, c, h, w)`` to float32 ``(n, d)``). One request at a time with
    every thread on it, not several side by side: that was as fast for batches of 64, and faster for one image.
    """
    runtime = import_package("openvino")
    with _quiet_tracing():
        model = runtime.convert_model(
            _ChannelsLast(network).eval(),
            example_input=_example(shape),
            input=[-1, shape.height, shape.width, shape.channels],
        )
    core = runtime.Core()
    native = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    for name, precision in (("bfloat16", "bf16"), ("float32", "f32")) if native else (("float32", "f32"),):
        choices = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,  # runs side by side would be pinned to the same processors
        }
        request = core.compile_model(model, "CPU", choices).create_infer_request()
        yield name, _portioned(_openvino_call(request), shape)


@engine("onnxruntime", "onnx", "onnxscript")
def onnx(network: nn.Module, shape: ImageShape, threads: int) -> Iterator[tuple[str, Run]]:
    """ONNX Runtime on the CPU: float32 alone, as its CPU kernels have no bfloat16."""
    call = onnx_call(onnx_program(_ChannelsLast(network), _example(shape)), threads)
    yield "float32", _portioned(call, shape)


@engine("torch", devices=("cpu", "cuda"))
def inductor(network: nn.Module, shape: ImageShape, threads: int) -> Iterator[tuple[str, Run]]:
    """Torch's own compiler, on the CPU or a card: bfloat16 where it is multiplied in hardware, else float32.

    Compiled for batches of 1, of at most 64 and of what the device embeds fastest, each when one first comes; others
    are filled up. It takes seconds to minutes, a C++ compiler on the CPU, and Triton on a card (it comes with torch on
    Linux).
    """
    held = next(itertools.chain(network.parameters(), network.buffers()), torch.empty(0))
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it warns of there being no card
    torch.compiler.reset()  # torch compiles one function a few times only, and then no longer, without a word
    formats = {"bfloat16": torch.bfloat16} if has_native_bfloat16(held.device) else {}
    most = images_at_once(shape.height, shape.width, held.device.type)
    sizes = sorted({1, min(_USUAL, most), most})
    for name, short in {**formats, "float32": None}.items():
        compiled = torch.compile(_ChannelsLast(network, short).eval(), dynamic=False)
        yield name, _filled_up(compiled, sizes)


def onnx_call(model: bytes | str, threads: int) -> Callable[[Vectors], Vectors]:
    """Return what runs an ONNX file that ``onnx_program`` made, its bytes or its path, by ONNX Runtime on the CPU."""
    runtime = import_package("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors; its warnings are about its own choices
    session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def call(pixels: Vectors) -> Vectors:
        found: Vectors = session.run(None, {"pixels": pixels})[0]
        return found

    return call


def onnx_program(network: nn.Module, example: Tensor) -> bytes:
    """Return a network as an ONNX file's bytes: ``pixels`` in, any number of what ``example`` has, ``vectors`` out."""
    with _quiet_tracing():
        program = torch.onnx.export(
            network.eval(),
            (example,),
            dynamo=True,  # slower than the older exporter, but that one has no word for resizing with antialiasing
            verbose=False,
            input_names=["pixels"],
            output_names=["vectors"],
            dynamic_shapes=({0: torch.export.Dim("n", min=1)},),
        )
    if program is None:
        raise RuntimeError("torch's exporter returned nothing")
    content: bytes = program.model_proto.SerializeToString()
    return content


def import_package(package: str) -> Any:
    """Import what an engine needs, OpenVINO without its telemetry. Raises ImportError.

    OpenVINO tells its makers of every import, and a benchmark asks nobody outside. It takes the missing package
    ``openvino_telemetry`` for granted, so that is what it is shown.
    """
    name = "openvino_telemetry"
    before = {name: sys.modules[name]} if name in sys.modules else {}
    sys.modules[name] = None  # type: ignore[assignment]  # Python's own way to say that there is no such module
    try:
        return import_module(package)
    finally:
        del sys.modules[name]
        sys.modules.update(before)


class _ChannelsLast(nn.Module):
    """The network on pixels as they lie in memory, ``(n, h, w, c)``: no batch is copied on its way in.

    short: the type that numbers are shortened to for products, None for float32.
    """

    def __init__(self, network: nn.Module, short: torch.dtype | None = None) -> None:
        super().__init__()
        self.network, self._short = network, short

    def forward(self, pixels: Tensor) -> Tensor:
        with nullcontext() if self._short is None else torch.autocast(pixels.device.type, self._short):
            vectors: Tensor = self.network(pixels.permute(0, 3, 1, 2)).float()
        return vectors


def _example(shape: ImageShape) -> Tensor:
    """Return two grey images to trace with: with one alone, a batch size of 1 is easily taken for a constant."""
    return torch.full((2, shape.height, shape.width, shape.channels), 0.5)


@contextmanager
def _quiet_tracing() -> Iterator[None]:
    """Trace without gradients, and without warnings that are none of the user's business.

    What they warn of, torch leaving TorchScript and constants baked in, shows in the comparison of vectors. OpenVINO
    quiets all loggers and, where it cannot convert a network, leaves them so: ours have more to say.
    """
    level = logging.root.level
    try:
        with torch.no_grad(), warnings.catch_warnings():
            for kind in (DeprecationWarning, FutureWarning):
                warnings.simplefilter("ignore", kind)
            warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]  # public, not re-exported
            yield
    finally:
        logging.root.setLevel(level)


def _openvino_call(request: Any) -> Callable[[Vectors], Vectors]:
    def call(pixels: Vectors) -> Vectors:
        request.infer([pixels], share_inputs=True)
        vectors: Vectors = request.get_output_tensor(0).data.copy()  # the request writes to the same memory next time
        return vectors

    return call


def _portioned(call: Callable[[Vectors], Vectors], shape: ImageShape) -> Run:
    """Return a function on tensors that gives an engine's function arrays ``(n, h, w, c)`` of a few images each."""
    portion = max(1, _PORTION_PIXELS // (shape.height * shape.width))

    def run(pixels: Tensor) -> Tensor:
        lying = pixels.detach().permute(0, 2, 3, 1).contiguous().numpy()
        parts = [call(lying[start : start + portion]) for start in range(0, len(lying), portion)]
        return torch.from_numpy(np.concatenate(parts))

    return run


def _filled_up(call: Callable[[Tensor], Tensor], sizes: list[int]) -> Run:
    """Return a function of any number of images that calls one of ``(n, h, w, c)`` for batches of a few sizes only.

    sizes: ascending. What is missing from a batch are copies of its last image.
    """

    def run(pixels: Tensor) -> Tensor:
        lying = pixels.permute(0, 2, 3, 1)
        parts = []
        for part in torch.split(lying, sizes[-1]):
            size = next(size for size in sizes if size >= len(part))
            batch = torch.empty((size, *lying.shape[1:]), device=pixels.device)  # of one layout, else it compiles anew
            batch[: len(part)], batch[len(part) :] = part, part[-1]
            parts.append(call(batch)[: len(part)])
        return torch.cat(parts)

    return run
