"""Encoders by name: images to raw vectors, for any image size and channel count."""

from __future__ import annotations

from collections.abc import Callable

from bench.contract import ImageShape, UsageError
from bench.naming import did_you_mean
from bench.training.encoders.embeddingnet import EmbeddingNet
from bench.training.encoders.encoder import Encoder
from bench.training.encoders.resnet import ResNetEncoder
from bench.training.encoders.simplecnn import SimpleCNN

ENCODERS: dict[str, Callable[[ImageShape, int], Encoder]] = {
    "resnet": ResNetEncoder,
    "simplecnn": SimpleCNN,
    "embeddingnet": EmbeddingNet,
}
_TIMM = "timm/"


def build_encoder(name: str, shape: ImageShape, dim: int, *, weights: str = "pretrained") -> Encoder:
    """Return a fresh encoder for images of ``shape``: one of ours, or ``timm/<model>``.

    weights: for timm's, ``pretrained``, ``none``, or a file. Raises UsageError with the likeliest name if there is
    none.
    """
    if name.startswith(_TIMM):
        from bench.training.encoders.timm_encoder import TimmEncoder  # noqa: PLC0415 - timm takes seconds to import

        return TimmEncoder(name.removeprefix(_TIMM), shape, dim, weights=weights)
    if name not in ENCODERS:
        known = ", ".join([*ENCODERS, "timm/<model>"])
        raise UsageError(f"unknown encoder {name!r}{did_you_mean(name, ENCODERS)} (known: {known})")
    return ENCODERS[name](shape, dim)
