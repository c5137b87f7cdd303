"""CIFAR's pickles, read without letting a pickle do what pickles can: call any function there is.

Only lists, dictionaries, text, bytes, numbers and uint8 arrays come out; numpy itself never sees the file's state.
"""

from __future__ import annotations

import io
import math
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.contract import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: refused, not a plain pickle of arrays and lists ({reason})") from error
    if not isinstance(entry, dict):
        raise DataError(f"{path}: holds a {type(entry).__name__}, not a dictionary of arrays and lists")
    return {_text(key): value.values if isinstance(value, _Array) else value for key, value in entry.items()}


def _text(value: object) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else str(value)
