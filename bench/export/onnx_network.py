"""A run's whole way from pixels to unit vectors as one ONNX file."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.contract import ImageShape, SimbenchError, UsageError, network_of
from bench.evaluation.inference.compile import onnx_program
from bench.files import write_bytes
from bench.naming import reason_of
from bench.runs.loaded_run import TrainedRun


class UnitNetwork(nn.Module):
    """What a run's vectors come from: its network, the mirror image's vectors where the run had both, unit length."""

    def __init__(self, network: nn.Module, *, mirror_test: bool) -> None:
        super().__init__()
        self.network, self.mirror_test = network, mirror_test

    def forward(self, pixels: Tensor) -> Tensor:
        """Return unit float32 ``(n, d)`` of float32 ``(n, channels, height, width)`` in [0, 1]."""
        vectors = F.normalize(self.network(pixels).float(), dim=1)
        if not self.mirror_test:
            return vectors
        return F.normalize(vectors + F.normalize(self.network(pixels.flip(3)).float(), dim=1), dim=1)


def unit_network(run: TrainedRun) -> UnitNetwork:
    """Return a run's network. Raises UsageError for a method that has none."""
    network = network_of(run.method)
    if network is None:
        raise UsageError(f"{run.record.folder}: the method {run.record.result.method} has no network to export")
    return UnitNetwork(network, mirror_test=run.record.result.spec.mirror_test).eval()


def write_onnx(network: nn.Module, shape: ImageShape, path: Path) -> None:
    """Write a network with the input ``pixels``, n of them, and the output ``vectors``.

    Raises SimbenchError where torch's exporter cannot read it.
    """
    example = torch.full((2, shape.channels, shape.height, shape.width), 0.5)
    try:
        content = onnx_program(network, example)
    except Exception as error:  # the exporter has errors of its own
        raise SimbenchError(f"torch cannot write {path.name}: {reason_of(error)}") from error
    write_bytes(path, content)
