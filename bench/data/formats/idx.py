"""IDX, the file format of MNIST and its relatives: a magic number, the sizes, then the values.

Source: http://yann.lecun.com/exdb/mnist/ - two zero bytes, a type code, the number of dimensions, one big-endian
uint32 a dimension, and the values, last dimension fastest.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.contract import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.contract import Pixels

UNSIGNED_BYTE = 0x08
TYPE_NAMES = {0x08: "uint8", 0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}
KINDS = {1: "labels", 3: "images"}
AGAIN = "delete it and download it again"


def parse_idx(content: bytes, path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Return the values of an unpacked IDX file as a read-only uint8 array that shares ``content``'s memory.

    path: named in errors only; dimensions: 3 for images ``(n, height, width)``, 1 for labels ``(n,)``.
    Raises DataError if it is no IDX file, holds another type or shape, or is shorter or longer than it says.
    """
    expected = f"an IDX file of {KINDS.get(dimensions, f'{dimensions} dimensions')}"
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in TYPE_NAMES:
        raise DataError(f"{path}: not {expected} (it begins with {content[:8]!r}); {AGAIN}")
    if content[2] != UNSIGNED_BYTE:
        found = f"{TYPE_NAMES[content[2]]} (type code 0x{content[2]:02x})"
        raise DataError(f"{path}: holds {found}, but {expected} holds uint8 (0x08); give the original file")
    if content[3] != dimensions:
        found = KINDS.get(content[3], "another shape")
        raise DataError(
            f"{path}: holds {found} ({content[3]} dimensions), not {expected}; look for swapped or renamed files"
        )
    start = 4 + 4 * dimensions
    if len(content) < start:
        raise DataError(f"{path}: truncated within its header ({len(content)} of {start} bytes); {AGAIN}")
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    missing = start + math.prod(shape) - len(content)
    if missing:
        what = f"truncated: {missing} bytes are missing" if missing > 0 else f"too long: {-missing} bytes too many"
        raise DataError(f"{path}: {what} for the {'x'.join(map(str, shape))} values it announces; {AGAIN}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def pair(images: tuple[bytes, Path], labels: tuple[bytes, Path]) -> tuple[Pixels, NDArray[np.uint8]]:
    """Return the images ``(n, height, width, 1)`` and labels ``(n,)`` of two unpacked files, each given with its path.

    Raises DataError as `parse_idx` does, and when the two disagree on how many images there are.
    """
    pixels, numbers = parse_idx(*images, 3), parse_idx(*labels, 1)
    if len(pixels) != len(numbers):
        raise DataError(
            f"{images[1]} holds {len(pixels)} images, but {labels[1]} {len(numbers)} labels; they are from different "
            "data sets: delete both and download them again"
        )
    return pixels[..., np.newaxis], numbers
