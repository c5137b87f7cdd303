"""What an embedding takes: floating-point operations, and memory beyond what is held anyway."""

from __future__ import annotations

import ctypes
import hashlib
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from bench.contract import DataError, Images, ImageShape, Method, network_of
from bench.evaluation.cost.timing import fixed_threads, synchronize
from bench.evaluation.inference.embed import embed_pixels, to_floats

_STATM = "/proc/self/statm"  # pages: size, resident, of which shared, ...
_LOOK_EVERY = 0.0002  # seconds
_CALLS, _SECONDS = 11, 0.3  # of repeated calls, at most; the first is made however long it takes


def embedding_flops(method: Method, shape: ImageShape, device: torch.device) -> int | None:
    """Return the FLOPs of one image's embedding by a fitted method, or None where it has no network of its own.

    shape: of the data set's images; device: the method's. See ``network_flops``.
    """
    network = network_of(method)
    return None if network is None else network_flops(network, shape, device)


def network_flops(network: nn.Module, shape: ImageShape, device: torch.device) -> int:
    """Return the FLOPs of a network in eval mode on one image, 2 x multiply-accumulates.

    Matrix products, convolutions and attention's products are counted, as torch's ``FlopCounterMode`` does; additions,
    activations, normalisations, pooling and resizing are not. A second view of the image (its mirror image) counts.
    """
    pixels = torch.full((1, shape.channels, shape.height, shape.width), 0.5, device=device)
    with torch.no_grad(), _products_in_sight(), FlopCounterMode(display=False) as counter:
        network(pixels)
    return int(counter.get_total_flops())


def network_digest(method: Method, shape: ImageShape, device: torch.device) -> str | None:
    """Return a hex digest of every operation that one image's embedding takes, with the sizes and types of its tensors.

    Methods with one digest compute the same, whatever they were trained for: only their learnt numbers differ, on which
    no time depends. None where a method has no network of its own: what it computes outside torch is not seen.
    """
    network = network_of(method)
    if network is None:
        return None
    pixels = torch.full((1, shape.channels, shape.height, shape.width), 0.5, device=device)
    with torch.no_grad(), _products_in_sight(), _Operations() as seen:
        network(pixels)
    return str(seen.digest.hexdigest())


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own has no type hints
    """Feeds every operation to a digest as it is computed."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self.digest = hashlib.blake2b(digest_size=8)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.digest.update(f"{func} {_sizes(args)} {_sizes(kwargs or {})}\n".encode())
        return func(*args, **(kwargs or {}))


def _sizes(value: Any) -> str:
    """Return what an operation's cost depends on of an argument: no learnt number."""
    if isinstance(value, torch.Tensor):
        return f"{tuple(value.shape)} {value.dtype}"
    if isinstance(value, dict):
        return str({name: _sizes(one) for name, one in value.items()})
    if isinstance(value, (list, tuple)):
        return str([_sizes(one) for one in value])
    return "number" if isinstance(value, float) else str(value)


@contextmanager
def _products_in_sight() -> Iterator[None]:
    """Compute attention by single operations: fused on a CPU, its products are hidden from torch's counter."""
    before = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(False)
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def peak_embed_bytes(
    method: Method, images: Images, *, device: torch.device, batch: int = 64, threads: int = 1
) -> int | None:
    """Return the most bytes that embedding one batch holds at a time beyond what was held before it.

    From uint8 pixels to vectors on the CPU, so with the batch as floats; weights were there before. On a GPU it is what
    torch allocated there. On a Linux CPU by how much the process grew in the median of repeated calls, resident and
    private, looked at from a second thread, about a tenth exact: a look may come too late, the kernel counts in
    batches, and what other threads take counts. None elsewhere. The method is to have embedded such a batch before, so
    that buffers that stay are there.
    """
    if len(images) == 0 or batch < 1:
        raise DataError(f"nothing to embed: batches of {batch} from {len(images)} images")
    pixels = images.take(np.arange(batch, dtype=np.int64) % len(images))

    def embed() -> None:
        embed_pixels(method, to_floats(pixels, device)).cpu()
        synchronize(device)

    with fixed_threads(threads):
        if device.type == "cuda":
            return _peak_allocated(embed, device)
        return _peak_resident(embed) if device.type == "cpu" and sys.platform == "linux" else None


def _peak_allocated(call: Callable[[], None], device: torch.device) -> int:
    synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    call()
    return int(torch.cuda.max_memory_allocated(device)) - before


def _peak_resident(call: Callable[[], None]) -> int:
    """Return by how much this process grew during a call: the median of several, none of which is to blame for another.

    What one call leaves behind, or another thread takes meanwhile, is so no part of it.
    """
    end = time.perf_counter() + _SECONDS
    grown = [_growth(call)]
    while len(grown) < _CALLS and time.perf_counter() < end:
        grown.append(_growth(call))
    return int(statistics.median_high(grown))


def _growth(call: Callable[[], None]) -> int:
    """Return by how much this process grew during one call, at most.

    The kernel keeps a high-water mark of its own, but to reset it would spoil what others read off it afterwards.
    """
    _give_back()
    before, most, done = _private_bytes(), 0, Event()

    def look() -> None:
        nonlocal most
        while not done.is_set():
            most = max(most, _private_bytes() - before)
            done.wait(_LOOK_EVERY)

    watcher = Thread(target=look, daemon=True)
    watcher.start()
    try:
        call()
    finally:
        done.set()
        watcher.join()
    return max(most, _private_bytes() - before)


def _private_bytes() -> int:
    """Return the bytes of this process that are in memory and no file's."""
    with open(_STATM, encoding="ascii") as file:
        _, resident, shared, *_ = map(int, file.read().split())
    return (resident - shared) * os.sysconf("SC_PAGE_SIZE")


def _give_back() -> None:
    """Give freed memory that the C library keeps back to the kernel: reused, it would hide what a call takes."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc alone has it
    if trim is not None:
        trim(0)
