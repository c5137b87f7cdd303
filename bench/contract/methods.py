"""What a method promises, and the abilities it may have beside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from bench.contract.fitting import FitContext
from bench.contract.images import ImageShape, Split

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@runtime_checkable
class Method(Protocol):
    """A contestant: one file in ``methods/``, a dataclass whose fields are its options.

    ``embed`` takes float32 ``(n, channels, height, width)`` in [0, 1] on the run's device and returns floating-point
    ``(n, d)`` in any scale; the harness makes it float32 and L2-normalises it. It must not depend on what else is in
    the batch.
    """

    def fit(self, train: Split, validation: Split, run: FitContext) -> None: ...

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


def decoder_of(method: Method) -> Decodes | None:
    """Return the method as one that decodes, or None: the one place that asks."""
    return method if isinstance(method, Decodes) and method.can_decode else None


def saver_of(method: Method) -> Saves | None:
    """Return the method as one that saves its state, or None: the one place that asks."""
    return method if isinstance(method, Saves) else None


def parameters_of(method: Method) -> int | None:
    """Return the learnt numbers an embedding takes, or None where the method does not say: the one place that asks."""
    return method.count_parameters() if isinstance(method, Counts) else None
