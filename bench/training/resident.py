"""What lies on a card from one batch to the next: a split's pixels, or a backbone's features of them, where they fit.

One copy serves a process: all phases, validation, and other runs on the same arrays. It goes when its owner does.
"""

from __future__ import annotations

import hashlib
import math
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from bench.devices import SHARE, fetches, free_bytes
from bench.uploads import sent

if TYPE_CHECKING:
    from bench.contract import Images

_PIECE = 64 * 2**20  # bytes sent at a time

_Key = tuple[int, str, torch.device]
_held: dict[_Key, Tensor] = {}  # by the identity of what owns the values, which part of it, and where


def resident_pixels(images: Images, device: torch.device, *, put: bool = True) -> Tensor | None:
    """Return all of some images on the device, uint8 ``(n, height, width, channels)`` in order, not to be written to.

    None where they do not lie there: on a device that is no card, or where they would not fit. put: whether to bring
    them there if they do not lie there yet.
    """
    shape = images.shape
    size = (len(images), shape.height, shape.width, shape.channels)
    part = "" if images.rows is None else hashlib.sha256(images.rows.tobytes()).hexdigest()

    def pieces() -> Iterator[Tensor]:
        step = max(1, _PIECE // math.prod(size[1:]))
        for start in range(0, size[0], step):
            yield torch.from_numpy(images.take(np.arange(start, min(start + step, size[0]), dtype=np.int64)))

    like = torch.empty(size, dtype=torch.uint8, device="meta")
    return _resident(images.source, part, device, like, pieces if put else None)


def resident_values(values: Tensor, device: torch.device) -> Tensor | None:
    """Return a copy of the host's tensor on the device, None where it does not fit; the same one every time."""
    step = max(1, _PIECE // max(1, values[0].nbytes)) if len(values) else 1
    return _resident(values, "", device, values, lambda: torch.split(values, step))


def _resident(
    owner: object, part: str, device: torch.device, like: Tensor, pieces: Callable[[], Iterable[Tensor]] | None
) -> Tensor | None:
    """Return what lies on the device, put there piece by piece if it does not yet; like: of its shape and type."""
    if not fetches(device):
        return None
    key = (id(owner), part, numbered(device))
    if key in _held or pieces is None:
        return _held.get(key)
    if like.nbytes > room(device):
        return None
    try:
        there = torch.empty_like(like, device=device)
    except torch.OutOfMemoryError:  # free, but not in one piece, or another process's by now
        return None
    start = 0
    for piece in pieces():
        there[start : start + len(piece)].copy_(sent(piece, device))
        start += len(piece)
    _held[key] = there
    weakref.finalize(owner, _held.pop, key, None)
    return there


def room(device: torch.device) -> int:
    """Return how many bytes more may be made resident on a device."""
    held = sum(one.nbytes for key, one in _held.items() if key[2] == numbered(device))
    return int(SHARE * (free_bytes(device) + held)) - held


def numbered(device: torch.device) -> torch.device:
    """Return a device by its number: "cuda" is the one in use."""
    if device.type != "cuda" or device.index is not None:
        return device
    return torch.device("cuda", torch.cuda.current_device())
