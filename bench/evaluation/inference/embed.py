"""Images to vectors and back: the method's own calls, in batches, with every promise of the contract checked."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
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
from bench.uploads import unit_floats, uploaded

if TYPE_CHECKING:
    from bench.contract import Pixels

_RANGE_SLACK = 1e-3  # half precision rounds a sigmoid's 1.0 no further than this
_MOST_PINNED = 2**30  # bytes of vectors in memory that a card can write to by itself, which no other process can have


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

    batch_size: by default what the device embeds fastest (``images_at_once``). On a CUDA device more than one batch is
    sent ahead, and the last one filled up: see ``embed_ahead``.
    Raises DataError without images, and MethodError, naming the method's class, where ``embed`` returns anything but
    floating-point ``(n, d)``, or rows that are not finite or all zero.
    """
    if batch_size is None:
        batch_size = images_at_once(images.shape.height, images.shape.width, device.type)
    if device.type == "cuda" and len(images) > batch_size > 0:
        vectors = embed_ahead(method, images, batch_size, device, progress)
    else:
        vectors = _embed_in_turn(method, images, batch_size, device, progress)
    return normalize_rows(vectors, f"{name_of(method)}.embed", MethodError)


def embed_ahead(
    method: Method, images: Images, batch_size: int, device: torch.device, progress: Progress | None = None
) -> Vectors:
    """Return all images' vectors as the method gives them, float32 ``(n, d)`` on the CPU, by a device with streams.

    Batches are read and sent ahead, and vectors come back by themselves (``sent_ahead``): the device waits for neither.
    The method sees batches of ``batch_size`` only; what it makes of the copies that fill up the last one is dropped.
    Raises MethodError as ``embed_images`` does.
    """
    vectors: torch.Tensor | None = None
    with closing(sent_ahead(images, batch_size, device)) as steps:
        total = -(-len(images) // batch_size)
        for rows, pixels in steps if progress is None else progress(steps, total=total, what="embed"):
            embedded = embed_pixels(method, pixels)[: rows.stop - rows.start]
            if vectors is None:
                size = (len(images), embedded.shape[1])
                pinned = device.type == "cuda" and 4 * size[0] * size[1] <= _MOST_PINNED
                vectors = torch.empty(size, pin_memory=pinned)
            _refuse_another_length(method, embedded, vectors.shape[1])
            vectors[rows].copy_(embedded, non_blocking=True)
    if vectors is None:
        raise DataError("there are no images to embed")
    torch.get_device_module(device).synchronize(device)
    found: Vectors = vectors.numpy()
    return found


def sent_ahead(images: Images, size: int, device: torch.device) -> Generator[tuple[slice, torch.Tensor], None, None]:
    """Yield each batch's rows and its images, float32 ``(size, c, h, w)`` in [0, 1] on the device, channels last.

    They are read (off the disk, where that is a memory map) and sent while the device computes. The last batch is
    filled up with copies of its last image, so that kernels, compilers and graphs see one shape.
    """
    steps = [slice(first, min(first + size, len(images))) for first in range(0, len(images), size)]
    reads = (partial(_filled_up, images, rows, size) for rows in steps)
    shape = size, images.shape.height, images.shape.width, images.shape.channels
    with closing(uploaded(reads, shape, device, ahead=True)) as sent:
        for rows, pixels in zip(steps, sent, strict=True):
            yield rows, unit_floats(pixels)


def _filled_up(images: Images, rows: slice, size: int) -> torch.Tensor:
    pixels = images.take(rows)
    if len(pixels) < size or not pixels.flags.writeable:  # torch warns of memory that it could write to: a map's
        pixels = np.concatenate([pixels, np.repeat(pixels[-1:], size - len(pixels), axis=0)])
    return torch.from_numpy(pixels)


def _embed_in_turn(
    method: Method, images: Images, batch_size: int, device: torch.device, progress: Progress | None
) -> Vectors:
    vectors: Vectors | None = None
    for rows in batches(len(images), batch_size, progress, "embed"):
        embedded = embed_pixels(method, to_floats(images.take(rows), device))
        if vectors is None:
            vectors = np.empty((len(images), embedded.shape[1]), dtype=np.float32)
        _refuse_another_length(method, embedded, vectors.shape[1])
        vectors[rows] = embedded.cpu().numpy()
    if vectors is None:
        raise DataError("there are no images to embed")
    return vectors


def _refuse_another_length(method: Method, embedded: torch.Tensor, dimensions: int) -> None:
    if embedded.shape[1] != dimensions:
        raise MethodError(f"{name_of(method)}.embed returned {embedded.shape[1]} dimensions after {dimensions} before")


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
    return unit_floats(torch.from_numpy(pixels).to(device))


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
