"""What a method promises, and the abilities it may have beside."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from bench.contract.errors import MethodError, UsageError
from bench.contract.images import ImageShape, Size, Split
from bench.contract.runs import RunContext

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


class Baseline(StrEnum):
    """What a method is there to be compared with, where it is no contestant.

    floor: every method should beat it; frozen: features of a network that was trained elsewhere, nothing trained here;
    classifier: features of a plain classifier, the row to beat where all classes were trained on.
    """

    FLOOR = "floor"
    FROZEN = "frozen"
    CLASSIFIER = "classifier"


@runtime_checkable
class Method(Protocol):
    """A contestant: one file in ``methods/``, a dataclass whose fields are its options.

    ``fit`` may look at labels; a class that never does says so by ``uses_labels = False``, a baseline what kind it is
    (see `Baseline`) by, say, ``baseline = "floor"``. An option ``size`` is the side of the pictures that it is given,
    an attribute ``native_size`` their (height, width) where nothing is asked for; see `bench.runs.run_plan.sized_for`.

    ``embed`` takes float32 ``(n, channels, height, width)`` in [0, 1] on the run's device and returns floating-point
    ``(n, d)`` in any scale; the harness makes it float32 and L2-normalises it. It must not depend on what else is in
    the batch.
    """

    def fit(self, train: Split, validation: Split, run: RunContext) -> None: ...

    def embed(self, pixels: Tensor) -> Tensor: ...


@runtime_checkable
class Decodes(Protocol):
    """Ability of a method: turn unit vectors ``(n, d)`` back into images ``(n, channels, height, width)`` in [0, 1].

    ``can_decode`` is false where this run trained no decoder (``--phases 1``).
    """

    @property
    def can_decode(self) -> bool: ...

    def decode(self, vectors: Tensor) -> Tensor: ...


@runtime_checkable
class Saves(Protocol):
    """Ability of a method: its fitted state as tensors, and back again on a fresh object with the same options."""

    def state(self) -> Mapping[str, Tensor]: ...

    def restore(self, state: Mapping[str, Tensor], shape: ImageShape, device: torch.device) -> None: ...


@runtime_checkable
class Counts(Protocol):
    """Ability of a method: how many learnt numbers an embedding takes (decoders and heads not counted)."""

    def count_parameters(self) -> int: ...


@runtime_checkable
class ScoresPairs(Protocol):
    """Ability of a method: how alike two images are, as a probability that they show the same class.

    ``pair_score`` takes two batches like ``embed``'s, row by row a pair, and returns (raw cosine float ``(n,)`` in
    [-1, 1], probability float ``(n,)`` in [0, 1]). The order of a pair does not matter.
    """

    def pair_score(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]: ...


@runtime_checkable
class Exports(Protocol):
    """Ability of a method: its embedding as one module, which other inference engines can compile.

    ``network()`` gives a module in eval mode: float32 ``(n, channels, height, width)`` in [0, 1] in, what ``embed``
    returns, ``(n, d)``, out. n is free; the rest is the shape that the method was fitted to.
    """

    def network(self) -> nn.Module: ...


def uses_labels(method: Method | type[Method]) -> bool:
    """Return whether a method looks at labels as it fits: yes, unless its class says ``uses_labels = False``."""
    return bool(getattr(method, "uses_labels", True))


def baseline_of(method: Method | type[Method]) -> Baseline | None:
    """Return what kind of baseline a method says it is, None for a contestant. Raises MethodError for no such kind."""
    said = getattr(method, "baseline", None)
    try:
        return None if said is None else Baseline(said)
    except ValueError as error:
        raise MethodError(f"baseline {said!r} is not one of {', '.join(Baseline)}") from error


def asked_size(method: Method) -> Size | None:
    """Return the (height, width) of pictures that a method's option ``size`` asks for, None where it asks for none."""
    side = getattr(method, "size", None)
    if not isinstance(side, int):  # an attribute of somebody else's may mean something else
        return None
    if side < 1:
        raise UsageError(f"size must be 1 or more pixels, got {side}")
    return side, side


def native_size(method: Method) -> Size | None:
    """Return the (height, width) that a method's network was made for; None for one that takes any size alike."""
    found: Size | None = getattr(method, "native_size", None)
    return found


def decoder_of(method: Method) -> Decodes | None:
    """Return the method as one that decodes, or None: the one place that asks."""
    return method if isinstance(method, Decodes) and method.can_decode else None


def saver_of(method: Method) -> Saves | None:
    """Return the method as one that saves its state, or None: the one place that asks."""
    return method if isinstance(method, Saves) else None


def parameters_of(method: Method) -> int | None:
    """Return the learnt numbers an embedding takes, or None where the method does not say: the one place that asks."""
    return method.count_parameters() if isinstance(method, Counts) else None


def pair_scorer_of(method: Method) -> ScoresPairs | None:
    """Return the method as one that scores pairs, or None: the one place that asks."""
    return method if isinstance(method, ScoresPairs) else None


def exporter_of(method: Method) -> Exports | None:
    """Return the method as one that exports a network, fitted or not, or None: the one place that asks."""
    return method if isinstance(method, Exports) else None


def network_of(method: Method) -> nn.Module | None:
    """Return a fitted method's embedding as one module, or None where it has none."""
    exporter = exporter_of(method)
    return None if exporter is None else exporter.network()
