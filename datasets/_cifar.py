"""What CIFAR-10 and CIFAR-100 have in common: pickles in a tar archive, 3,072 bytes an image, channels first.

The pickles are read without letting a pickle do what pickles can: call any function there is. Only lists, dictionaries,
text, bytes, numbers and uint8 arrays come out; numpy itself never sees the file's state.
"""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench import Collection, DataError, DataPlace
from bench.data.download.download import Bundle, read_bundle
from bench.naming import reason_of

from ._numbered import numbered

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
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.shape[1] != 3 * SIDE * SIDE:
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


class _Dtype:
    """Stands in for numpy's dtype in a pickle."""

    def __init__(self, code: object = "", *_: object) -> None:
        self.code = _text(code)

    def __setstate__(self, state: object) -> None:
        """Byte order and the like, of no meaning for single bytes."""


class _Array:
    """Stands in for numpy's array in a pickle; only uint8, only as large as its bytes."""

    def __init__(self) -> None:
        self.values: NDArray[np.uint8] = np.empty(0, np.uint8)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, column_major, raw = state
        if not isinstance(dtype, _Dtype) or dtype.code not in ("u1", "|u1"):
            raise pickle.UnpicklingError("an array that is not uint8")
        content = raw.encode("latin1") if isinstance(raw, str) else bytes(raw)
        if math.prod(shape) != len(content):
            raise pickle.UnpicklingError("an array that is not as large as it announces")
        self.values = np.frombuffer(content, np.uint8).reshape(shape, order="F" if column_major else "C")


def _reconstruct(*_: object) -> _Array:
    return _Array()


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """What Python 3 writes for bytes in an old pickle; any codec but this one is refused."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"text in {encoding}")
    return text.encode("latin1")


ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
}


class _Careful(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return ALLOWED[module, name]


def read_pickled(content: bytes, path: Path) -> dict[str, Any]:
    """Return a pickled dictionary with its keys as text and its arrays as uint8; nothing in it is executed.

    path: named in errors only. Raises DataError for a pickle that holds or asks for anything else.
    """
    try:
        entry = _Careful(io.BytesIO(content), encoding="latin1").load()  # which can make nothing but data
    except Exception as error:  # a damaged pickle can raise almost anything
        raise DataError(f"{path}: refused, not a plain pickle of arrays and lists ({reason_of(error)})") from error
    if not isinstance(entry, dict):
        raise DataError(f"{path}: holds a {type(entry).__name__}, not a dictionary of arrays and lists")
    return {_text(key): value.values if isinstance(value, _Array) else value for key, value in entry.items()}


def _text(value: object) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else str(value)
