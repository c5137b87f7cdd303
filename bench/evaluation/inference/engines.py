"""What computes the vectors: torch as trained, or a fitted method's network compiled by an inference engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.contract import (
    EngineFacts,
    Images,
    ImageShape,
    Method,
    MethodError,
    RunContext,
    SimbenchError,
    Split,
    UsageError,
    exporter_of,
    network_of,
)
from bench.evaluation.inference.compile import Run, import_package
from bench.evaluation.inference.embed import embed_pixels, name_of, to_floats
from bench.evaluation.ranking.vectors import normalize_rows
from bench.naming import canonical
from bench.plugins import ENGINE, devices_of, packages_of
from bench.registry import find_plugins, get_plugin

LEAST_COSINE = 0.998  # of every sample to torch's vector; bfloat16 keeps .9989 on a network of 49 layers
_SAMPLES = 32


Engine: TypeAlias = Callable[[nn.Module, ImageShape, int], Iterator[tuple[str, Run]]]


@dataclass(frozen=True)
class Compiled:
    """A network on an engine: the function, its number format, and its lowest cosine to torch's vectors."""

    run: Run
    precision: str
    cosine: float


@dataclass(frozen=True)
class EngineMethod:
    """A fitted method as far as ``embed`` goes, which the engine computes. All else is the method's own."""

    method: Method
    run: Run

    def fit(self, train: Split, validation: Split, run: RunContext) -> None:
        raise SimbenchError(f"{name_of(self.method)} is compiled: fit the method itself, and compile it again")

    def embed(self, pixels: Tensor) -> Tensor:
        return self.run(pixels)


def require_engine(engine: str, device: str, methods: Mapping[str, Method]) -> None:
    """Raise UsageError, before anything is trained, where an engine cannot do what will be asked of it.

    device: the kind of device of the run; methods: those to run, by name, fitted or not.
    """
    if engine == "torch":
        return
    able = devices_of(_known(engine))
    if device not in able:
        raise UsageError(
            f"--engine {engine} computes on {' and '.join(able)}, not on {device}: give --device {able[0]}, or "
            "--engine torch"
        )
    for package in packages_of(_known(engine)):
        try:
            import_package(package)
        except ImportError as error:
            own = find_plugins(ENGINE)[canonical(engine)].origin == "simbench"
            wanted = f"'simbench-retrieval[{engine}]'" if own else package
            raise UsageError(f"--engine {engine} needs the package {package}: pip install {wanted}") from error
    unable = [name for name, method in methods.items() if exporter_of(method) is None]
    if unable:
        raise UsageError(f"--engine {engine} needs methods with a network to compile: not {', '.join(unable)}")


def on_engine(
    method: Method, engine: str, images: Images, *, device: torch.device, threads: int
) -> tuple[Method, EngineFacts]:
    """Return a fitted method whose ``embed`` the engine computes, and what to record of the engine.

    images: some of them are embedded both ways to compare; device: the method's. With torch the method is returned as
    it is.
    Raises UsageError for a method without a network, and what ``compile_network`` raises.
    """
    if engine == "torch":
        return method, EngineFacts("torch")
    network = network_of(method)
    if network is None:
        raise UsageError(f"--engine {engine} needs a method with a network to compile: not {name_of(method)}")
    rows = np.unique(np.linspace(0, len(images) - 1, min(len(images), _SAMPLES)).astype(np.int64))
    samples = to_floats(images.take(rows), device)
    expected = normalize_rows(embed_pixels(method, samples).cpu().numpy(), f"{name_of(method)}.embed", MethodError)
    compiled = compile_network(
        network, images.shape, engine, threads=threads, samples=samples, expected=torch.from_numpy(expected)
    )
    facts = EngineFacts(engine, _version(engine), compiled.precision, round(compiled.cosine, 6))
    return EngineMethod(method, compiled.run), facts


def compile_network(
    network: nn.Module, shape: ImageShape, engine: str, *, threads: int, samples: Tensor, expected: Tensor
) -> Compiled:
    """Return a network compiled for images of one shape and any number of them, in the fastest format that is exact.

    network: float32 ``(n, c, h, w)`` in [0, 1] in, ``(n, d)`` out; samples: some such images, on its device; expected:
    their vectors by torch, ``(n, d)`` on the CPU, in any scale. A format will do if every sample, alone and in a batch,
    comes within a cosine of 0.998 of what is expected. Raises SimbenchError where none does, or the engine cannot read
    the network.
    """
    cosine = float("nan")
    try:
        for precision, run in _known(engine)(network, shape, threads):
            cosine = _lowest_cosine(run, samples, expected)
            if cosine >= LEAST_COSINE:
                return Compiled(run, precision, cosine)
    except Exception as error:  # each converter has errors of its own
        reason = (str(error).strip().splitlines() or ["no message"])[0]
        raise SimbenchError(
            f"--engine {engine} cannot compile {name_of(network)}: {type(error).__name__}: {reason}; use --engine torch"
        ) from error
    raise SimbenchError(
        f"--engine {engine} computes other vectors than torch: cosine {cosine:.4f} in float32, at least {LEAST_COSINE} "
        "is needed; use --engine torch"
    )


def _lowest_cosine(run: Run, samples: Tensor, expected: Tensor) -> float:
    """Return the lowest cosine of any sample; the first is also run alone, as a traced network may fix a batch size."""
    with torch.inference_mode():
        found = torch.cat([run(samples), run(samples[:1])]).cpu()
    return float(F.cosine_similarity(found, torch.cat([expected, expected[:1]])).min())


def _version(engine: str) -> str:
    """Return the version of an engine's first package, nothing where it has none."""
    try:
        return next((version(package) for package in packages_of(_known(engine))), "")
    except PackageNotFoundError:
        return ""


def _known(name: str) -> Engine:
    found: Engine = get_plugin(ENGINE, name)
    return found
