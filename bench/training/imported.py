"""A model that was trained elsewhere and comes as one file, ONNX or TorchScript, as a method that learns nothing."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from bench.contract import DataError, ImageShape, MethodError, RunContext, Split, UsageError
from bench.environment import require_package, user_path
from bench.naming import reason_of
from bench.options import file_option

Embed = Callable[[Tensor], Tensor]
_NOWHERE = "none"
_SCRIPT = (b"PK",)  # TorchScript is a zip file; ONNX is not


@dataclass
class ImportedModel:
    """file: an ONNX or TorchScript file; it takes ``(n, channels, height, width)`` and gives ``(n, d)``.

    scale: what pixels it takes, in [0, 1] ("unit") or in [0, 255] ("bytes"). mean, std: subtracted from these and
    divided by, one number a channel or one for all, where the file does not do so itself. Grey pictures are repeated
    to three channels where the file takes three.
    """

    file: str = file_option(_NOWHERE, words=(_NOWHERE,))
    scale: Literal["unit", "bytes"] = "unit"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    uses_labels = False
    baseline = "frozen"

    def __post_init__(self) -> None:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (0, 1, 3):
                raise ValueError(f"{name} is one number or three, got {len(values)}")
        if any(value <= 0 for value in self.std):
            raise ValueError(f"std must be above 0, got {', '.join(map(str, self.std))}")

    @property
    def native_size(self) -> tuple[int, int] | None:
        """The (height, width) that the file fixes, None where it fixes none."""
        content = self._read()
        return None if content.startswith(_SCRIPT) else OnnxModel.of(content, self.file).size

    def fit(self, train: Split, validation: Split, run: RunContext) -> None:
        """Open the file and try it on two images. Raises DataError or MethodError, in one line, where it cannot be."""
        content = self._read()
        self._start(content, run.device)
        first = train if len(train) else validation
        shape = first.images.shape
        if self._onnx is not None:
            self._onnx.require(shape)
        images = torch.from_numpy(first.images.take(np.arange(min(2, len(first))))).permute(0, 3, 1, 2)
        try:
            found = self.embed(images.to(run.device).float() / 255)
        except (DataError, MethodError):
            raise
        except Exception as error:  # the runtimes have errors of their own
            raise MethodError(f"{self.file} cannot embed images of {shape}: {reason_of(error)}") from error
        if not bool(torch.isfinite(found).all()):
            raise MethodError(
                f"{self.file} gives values that are not finite: are its pixels to be in [0, 255] (scale)?"
            )

    def embed(self, pixels: Tensor) -> Tensor:
        shown = pixels * 255 if self.scale == "bytes" else pixels
        if self._onnx is not None and self._onnx.channels == 3 and shown.shape[1] == 1:
            shown = shown.expand(-1, 3, -1, -1)
        for values, apply in ((self.mean, torch.sub), (self.std, torch.div)):
            if values:
                shown = apply(shown, torch.tensor(values, device=shown.device).view(1, -1, 1, 1))
        found = self._model(shown)
        if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != len(pixels):
            said = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise MethodError(f"{self.file} gives {said} for {len(pixels)} images; it must give ({len(pixels)}, d)")
        return found

    def state(self) -> Mapping[str, Tensor]:
        """Return the file itself: a run can be used again when the file is gone."""
        return {"file": torch.frombuffer(bytearray(self._content), dtype=torch.uint8)}

    def restore(self, state: Mapping[str, Tensor], shape: ImageShape, device: torch.device) -> None:
        self._start(state["file"].cpu().numpy().tobytes(), device)

    def _read(self) -> bytes:
        if self.file == _NOWHERE:
            raise UsageError("an imported model needs -o file=MODEL.onnx, or MODEL.pt of TorchScript")
        try:
            return user_path(self.file).read_bytes()
        except OSError as error:
            raise DataError(f"{self.file}: cannot be read ({error.strerror or error})") from error

    def _start(self, content: bytes, device: torch.device) -> None:
        self._content, self._onnx = content, None
        self._model: Embed
        if content.startswith(_SCRIPT):
            self._model = _torchscript(content, self.file, device)
            return
        self._onnx = OnnxModel.of(content, self.file)
        self._model = self._onnx


@dataclass(frozen=True)
class OnnxModel:
    """An ONNX file opened by onnxruntime on the CPU: float ``(n, c, h, w)`` to ``(n, d)``.

    channels, size: as it fixes them, None where it does not; alone: whether it takes one image at a time.
    """

    run: Callable[
        [np.ndarray[tuple[int, ...], np.dtype[np.float32]]], np.ndarray[tuple[int, ...], np.dtype[np.float32]]
    ]
    file: str
    channels: int | None
    size: tuple[int, int] | None
    alone: bool

    @classmethod
    def of(cls, content: bytes, file: str) -> OnnxModel:
        """Open a file's content. Raises DataError, in one line, for one that is no model of images."""
        runtime = require_package("onnxruntime", "an ONNX file", "onnxruntime", "'simbench-retrieval[onnx]'")
        options = runtime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 4
        try:
            session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own, of many kinds
            raise DataError(f"{file}: no ONNX file that onnxruntime can open ({reason_of(error)})") from error
        inputs, outputs = session.get_inputs(), session.get_outputs()
        if len(inputs) != 1:
            raise DataError(f"{file}: it has {len(inputs)} inputs ({', '.join(i.name for i in inputs)}), not one")
        shape = inputs[0].shape
        said = f"({', '.join(map(str, shape))})"
        if inputs[0].type != "tensor(float)":
            raise DataError(f"{file}: its input is {inputs[0].type}, not float32; export it with float32 pixels")
        if len(shape) == 3:
            raise DataError(f"{file}: its input {said} has no batch axis; export it with (n, channels, height, width)")
        if len(shape) != 4:
            raise DataError(f"{file}: its input is {said}, not (n, channels, height, width)")
        batch, channels, height, width = (side if isinstance(side, int) else None for side in shape)
        if batch not in (None, 1):
            raise DataError(f"{file}: it takes {batch} images at a time; export it with a dynamic batch axis")
        if channels not in (None, 1, 3):
            raise DataError(f"{file}: its input is {said}: {channels} channels; (n, channels, height, width) is needed")
        if len(outputs[0].shape) != 2:
            ends = f"({', '.join(map(str, outputs[0].shape))})"
            raise DataError(f"{file}: its output is {ends}, not (n, d): pool it to one vector an image")
        size = None if height is None or width is None else (height, width)
        name = inputs[0].name
        return cls(lambda pixels: session.run(None, {name: pixels})[0], file, channels, size, batch == 1)

    def require(self, shape: ImageShape) -> None:
        """Raise DataError where images of a shape are not what it takes."""
        if self.size is not None and self.size != (shape.height, shape.width):
            wanted, given = f"{self.size[0]}x{self.size[1]}", f"{shape.height}x{shape.width}"
            raise DataError(
                f"{self.file} takes images of {wanted} pixels, these are {given}: give --image-size {wanted} where "
                "they are files, or export it for this size"
            )
        if self.channels == 1 and shape.channels == 3:
            raise DataError(f"{self.file} takes grey images, these have three channels")

    def __call__(self, pixels: Tensor) -> Tensor:
        array = np.ascontiguousarray(pixels.detach().cpu().numpy(), dtype=np.float32)
        parts = np.split(array, len(array)) if self.alone else [array]
        return torch.from_numpy(np.concatenate([self.run(part) for part in parts])).to(pixels.device)


def _torchscript(content: bytes, file: str, device: torch.device) -> Embed:
    try:
        with warnings.catch_warnings():  # that TorchScript is no longer developed; the file is there all the same
            warnings.simplefilter("ignore", FutureWarning)
            model = torch.jit.load(io.BytesIO(content), map_location=device)  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        raise DataError(f"{file}: no TorchScript file that torch can open ({reason_of(error)})") from error
    found: Embed = model.eval()
    return found


def plugin_source(name: str, kind: type, files: Mapping[str, str]) -> str:
    """Return the file of a method ``name`` that is a class of ours with files lying below it, by option."""
    fields = "".join(
        f'    {option}: str = file_option(str(Path(__file__).parent / "{file}"))\n' for option, file in files.items()
    )
    return (
        f'"""{name}: a model that was trained elsewhere, {next(iter(files.values()))}."""\n\n'
        "from dataclasses import dataclass\nfrom pathlib import Path\n\n"
        f"from bench import file_option, method\nfrom {kind.__module__} import {kind.__name__}\n\n\n"
        f"@method\n@dataclass\nclass Imported({kind.__name__}):\n{fields}"
    )
