"""Images to vectors and back: the method's own calls, in batches, with every promise of the contract checked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from bench.contract import (
    DataError,
    Decodes,
    Images,
    Method,
    MethodError,
    Progress,
    RunContext,
    SimbenchError,
    Split,
)
from bench.environment import images_at_once
from bench.evaluation.ranking.arrays import Vectors
from bench.evaluation.ranking.vectors import normalize_rows

if TYPE_CHECKING:
    from bench.contract import Pixels

_RANGE_SLACK = 1e-3  # half precision rounds a sigmoid's 1.0 no further than this


@dataclass(frozen=True)
class MirroredMethod:
    """A fitted method as far as ``embed`` goes: the mean direction of an image's and its mirror image's vectors.

    So the two embed alike, in twice the time. All else is the method's own.
    """

    method: Method

    def fit(self, train: Split, validation: Split, run: RunContext) -> None:
        raise SimbenchError(f"{name_of(self.method)} is fitted: fit the method itself, and mirror it again")

    def embed(self, pixels: torch.Tensor) -> torch.Tensor:
        there, mirrored = (F.normalize(embed_pixels(self.method, view), dim=1) for view in (pixels, pixels.flip(3)))
        return F.normalize(there + mirrored, dim=1)


def with_views(method: Method, *, mirror_test: bool) -> Method:
    """Return what embeds for a run: the method as it is, or by both views of each image."""
    return MirroredMethod(method) if mirror_test else method


def embed_images(
    method: Method,
    images: Images,
    *,
    device: torch.device,
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> Vectors:
    """Return the vectors of all images, float32 ``(n, d)`` on the CPU, each of unit length.

    batch_size: by default what the device embeds fastest (``images_at_once``).
    Raises DataError without images, and MethodError, naming the method's class, where ``embed`` returns anything but
    floating-point ``(n, d)``, or rows that are not finite or all zero.
    """
    vectors: Vectors | None = None
    if batch_size is None:
        batch_size = images_at_once(images.shape.height, images.shape.width, device.type)
    for rows in batches(len(images), batch_size, progress, "embed"):
        embedded = embed_pixels(method, to_floats(images.take(rows), device))
        if vectors is None:
            vectors = np.empty((len(images), embedded.shape[1]), dtype=np.float32)
        if embedded.shape[1] != vectors.shape[1]:
            raise MethodError(
                f"{name_of(method)}.embed returned {embedded.shape[1]} dimensions after {vectors.shape[1]} before"
            )
        vectors[rows] = embedded.cpu().numpy()
    if vectors is None:
        raise DataError("there are no images to embed")
    return normalize_rows(vectors, f"{name_of(method)}.embed", MethodError)


def embed_pixels(method: Method, pixels: torch.Tensor) -> torch.Tensor:
    """Return one batch's vectors as the method gives them, float32 ``(n, d)`` on its device, their shape checked."""
    with torch.inference_mode():
        embedded = method.embed(pixels)
    if embedded.ndim != 2 or len(embedded) != len(pixels) or embedded.shape[1] == 0:
        raise MethodError(
            f"{name_of(method)}.embed must return ({len(pixels)}, d) for {len(pixels)} images, got "
            f"{tuple(embedded.shape)}"
        )
    if not embedded.is_floating_point():
        raise MethodError(f"{name_of(method)}.embed must return floating-point vectors, got {embedded.dtype}")
    return embedded.float()


def decode_vectors(decoder: Decodes, vectors: Vectors, *, device: torch.device, batch_size: int = 256) -> Vectors:
    """Return the decoded images, float32 ``(n, channels, height, width)`` in [0, 1] on the CPU.

    vectors: float32 ``(n, d)`` of unit length. Raises like ``decode_batch``.
    """
    if len(vectors) == 0:
        raise DataError("there are no vectors to decode")
    decoded = [
        decode_batch(decoder, torch.from_numpy(np.ascontiguousarray(vectors[rows])).to(device)).cpu().numpy()
        for rows in batches(len(vectors), batch_size, None, "decode")
    ]
    return np.concatenate(decoded)


def decode_batch(decoder: Decodes, vectors: torch.Tensor) -> torch.Tensor:
    """Return one batch's images, float32 ``(n, channels, height, width)`` in [0, 1] on the decoder's device.

    Raises MethodError, naming the decoder's class, for another shape, values that are not numbers, or values outside
    [0, 1] by more than rounding; what is within rounding is clipped.
    """
    with torch.inference_mode():
        decoded = decoder.decode(vectors)
    if decoded.ndim != 4 or len(decoded) != len(vectors):
        raise MethodError(
            f"{name_of(decoder)}.decode must return ({len(vectors)}, channels, height, width) for {len(vectors)} "
            f"vectors, got {tuple(decoded.shape)}"
        )
    decoded = decoded.float()
    low, high = float(decoded.min()), float(decoded.max())
    if not (low >= -_RANGE_SLACK and high <= 1 + _RANGE_SLACK):  # so written, not-a-number fails too
        raise MethodError(f"{name_of(decoder)}.decode must return pixels in [0, 1], got {low:.4g} to {high:.4g}")
    return decoded.clamp(0.0, 1.0)


def to_floats(pixels: Pixels, device: torch.device) -> torch.Tensor:
    """Return uint8 ``(n, height, width, channels)`` as float32 ``(n, channels, height, width)`` in [0, 1].

    Bytes, not floats, travel to the device, and the memory order stays channels-last: no pixel is moved.
    """
    if not pixels.flags.writeable:  # torch warns of memory that it could write to; a batch's bytes are a small copy
        pixels = pixels.copy()
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).to(device).to(torch.float32).div_(255)


def batches(n: int, size: int, progress: Progress | None, what: str) -> Iterator[slice]:
    """Yield consecutive slices of at most ``size`` rows, through the progress bar if there is one."""
    if size < 1:
        raise DataError(f"the batch size must be above 0, got {size}")
    firsts = range(0, n, size)
    for first in firsts if progress is None else progress(firsts, total=len(firsts), what=what):
        yield slice(first, min(first + size, n))


def name_of(plugin: object) -> str:
    """Return the class name of a method or decoder, for messages."""
    return type(plugin).__name__
