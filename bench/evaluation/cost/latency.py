"""What a user waits for, apart and end to end: decode a picture, preprocess, embed, search the gallery."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import faiss
import numpy as np
import torch

from bench.contract import DataError, Images, ImageShape, Method
from bench.evaluation.cost.timing import Latency, Timing, time_calls
from bench.evaluation.inference.embed import embed_pixels, name_of, to_floats
from bench.evaluation.ranking.arrays import Ints, Vectors
from bench.evaluation.ranking.vectors import normalize_rows

if TYPE_CHECKING:
    from bench.contract import Pixels

_POOL = 256  # images that are gone through again and again, so that no call sees what the one before saw


@dataclass(frozen=True)
class Pictures:
    """Picture files in memory and how they are decoded.

    encoded: the files' bytes, one a picture; decode: bytes to uint8 ``(height, width, 1 or 3)`` of ``shape``'s size;
    source: what they are, in words for a reader of the figures.
    """

    encoded: tuple[bytes, ...]
    decode: Callable[[bytes], Pixels]
    shape: ImageShape
    source: str

    def __post_init__(self) -> None:
        if not self.encoded:
            raise DataError("there are no pictures to decode")

    def chosen(self, turn: int, batch: int) -> list[bytes]:
        """Return the pictures of one call; the next call gets the next ones, in a circle."""
        return [self.encoded[row % len(self.encoded)] for row in range(turn * batch, (turn + 1) * batch)]

    def pixels(self, encoded: Sequence[bytes]) -> Pixels:
        """Decode one after the other to uint8 ``(n, height, width, channels)``; grey pictures fill all channels."""
        shape = self.shape
        pixels = np.empty((len(encoded), shape.height, shape.width, shape.channels), dtype=np.uint8)
        for row, one in enumerate(encoded):
            pixels[row] = self.decode(one)
        return pixels


@dataclass(frozen=True)
class Service:
    """A fitted method with an index of its gallery: what answers a user's pictures.

    index: faiss's, of unit float32 vectors; k: neighbours to a query; device: the method's.
    """

    method: Method
    pictures: Pictures
    index: Any
    k: int
    device: torch.device

    def rank(self, encoded: Sequence[bytes]) -> Ints:
        """Return the gallery positions of every picture's nearest neighbours, int64 ``(n, k)``, best first."""
        embedded = embed_pixels(self.method, to_floats(self.pictures.pixels(encoded), self.device))
        vectors = normalize_rows(embedded.cpu().numpy(), f"{name_of(self.method)}.embed")
        neighbours: Ints = self.index.search(vectors, self.k)[1]
        return neighbours


def decode_latency(pictures: Pictures, timing: Timing, *, batch: int = 1) -> Latency:
    """Time picture files' bytes in memory to uint8 pixels of the data set's size, one after the other on one thread."""
    return time_calls("decode", batch, lambda turn: pictures.chosen(turn, batch), pictures.pixels, timing)


def preprocess_latency(images: Images, timing: Timing, *, batch: int = 1) -> Latency:
    """Time uint8 pixels in memory to the float tensor in [0, 1] on the device that ``embed`` takes."""
    pool = _pool(images, batch)
    return time_calls(
        "preprocess",
        batch,
        lambda turn: _rows(pool, turn, batch),
        lambda pixels: to_floats(pixels, timing.device),
        timing,
    )


def embed_latency(method: Method, images: Images, timing: Timing, *, batch: int = 1) -> Latency:
    """Time ``embed`` from the float tensor on the device to float32 vectors on the CPU.

    Resizing to a network's own input size is the method's work, and so part of it.
    """
    pool = _pool(images, batch)
    return time_calls(
        "embed",
        batch,
        lambda turn: to_floats(_rows(pool, turn, batch), timing.device),
        lambda pixels: embed_pixels(method, pixels).cpu(),
        timing,
    )


def flat_index(gallery: Vectors) -> Any:
    """Return an exact index by inner product of float32 ``(N, d)``, faiss ``IndexFlatIP``; it copies the vectors."""
    index = faiss.IndexFlatIP(gallery.shape[1])
    index.add(np.ascontiguousarray(gallery, dtype=np.float32))
    return index


def index_latency(gallery: Vectors, timing: Timing) -> Latency:
    """Time the building of the exact index of a gallery ``(N, d)``, a few times; the batch is N."""
    few = replace(timing, max_samples=min(5, timing.max_samples), warm_up=min(1, timing.warm_up))
    return time_calls("index_build", len(gallery), lambda turn: gallery, flat_index, _on_cpu(few))


def search_latency(queries: Vectors, index: Any, timing: Timing, *, batch: int = 1, k: int = 50) -> Latency:
    """Time the search of an index for queries float32 ``(q, d)`` in memory, other ones each time; k is at most N."""
    if len(queries) == 0 or index.ntotal == 0:
        raise DataError(f"nothing to search: {len(queries)} queries, {index.ntotal} gallery items")
    few = min(k, index.ntotal)
    return time_calls(
        "search",
        batch,
        lambda turn: np.ascontiguousarray(_rows(queries, turn, batch), dtype=np.float32),
        lambda chosen: index.search(chosen, few),
        _on_cpu(timing),
    )


def end_to_end_latency(service: Service, timing: Timing, *, batch: int = 1) -> Latency:
    """Time picture files' bytes in memory to ranked neighbours: all stages above, and the vectors to unit length."""
    return time_calls("end_to_end", batch, lambda turn: service.pictures.chosen(turn, batch), service.rank, timing)


def _on_cpu(timing: Timing) -> Timing:
    return replace(timing, device=torch.device("cpu"))


def _pool(images: Images, batch: int) -> Pixels:
    """Return some images, decoded and off the disk."""
    if len(images) == 0 or batch < 1:
        raise DataError(f"nothing to time: batches of {batch} from {len(images)} images")
    return images.take(np.arange(min(len(images), max(batch, _POOL)), dtype=np.int64))


def _rows(pool: Any, turn: int, batch: int) -> Any:
    """Return the rows of one call; the next call gets the next ones, in a circle."""
    return pool[np.arange(turn * batch, (turn + 1) * batch) % len(pool)]
