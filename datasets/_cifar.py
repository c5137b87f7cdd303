"""What CIFAR-10 and CIFAR-100 have in common: pickles in a tar archive, 3,072 bytes an image, channels first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench import Collection, DataError, DataPlace
from bench.data.download.download import Bundle, read_bundle

from ._numbered import numbered
from ._pickled import read_pickled

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 32


def load_cifar(
    bundle: Bundle,
    place: DataPlace,
    mirrors: Callable[[], Sequence[str]],
    *,
    parts: Mapping[str, Sequence[str]],
    names: tuple[str, str],
    labels: str,
    title: str,
) -> Collection:
    """Return a CIFAR set. parts: file names by part; names: the file, and the key in it, of the class names."""
    contents = read_bundle(bundle, place, mirrors)
    described = read_pickled(*contents[names[0]])
    classes = tuple(str(name) for name in _entry(described, names[1], contents[names[0]][1]))
    splits = {}
    for part, files in parts.items():
        read = [_batch(*contents[name], labels, len(classes)) for name in files]
        splits[part] = numbered(
            part, np.concatenate([one[0] for one in read]), np.concatenate([one[1] for one in read])
        )
    return Collection(title, classes, train=splits["train"], test=splits["test"], mirror=True)


def _batch(content: bytes, path: Path, key: str, classes: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    entry = read_pickled(content, path)
    rows, given = _entry(entry, "data", path), _entry(entry, key, path)
    if not isinstance(rows, np.ndarray) or rows.dtype != np.uint8 or rows.shape[1:] != (3 * SIDE * SIDE,):
        raise DataError(f"{path}: its data is not {3 * SIDE * SIDE} bytes an image; it is another data set's file")
    if not isinstance(given, list) or not all(type(label) is int and 0 <= label < classes for label in given):
        raise DataError(f"{path}: its {key} are not whole numbers below {classes}")
    if len(given) != len(rows):
        raise DataError(f"{path}: holds {len(rows)} images, but {len(given)} labels")
    return rows.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1), np.array(given, np.int64)


def _entry(entry: Mapping[str, Any], key: str, path: Path) -> Any:
    if key not in entry:
        raise DataError(f"{path}: holds no {key} (it holds: {', '.join(entry)}); it is another data set's file")
    return entry[key]
