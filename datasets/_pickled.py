"""Pickles of published sets, read without letting a pickle do what pickles can: call any function there is.

Only lists, dictionaries, text, bytes, numbers and arrays of numbers come out; numpy itself never sees the file's state.
"""

from __future__ import annotations

import io
import math
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench import DataError
from bench.naming import reason_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

NUMBERS = {"u1", "i4", "i8", "f4", "f8"}


class _Dtype:
    """Stands in for numpy's dtype in a pickle; only numbers, the lowest byte first."""

    def __init__(self, code: object = "", *_: object) -> None:
        self.code = _text(code).lstrip("|<")
        self.order = "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = _text(state[1])

    def read(self, raw: bytes | str) -> NDArray[Any]:
        if self.code not in NUMBERS or self.order not in ("<", "|"):
            raise pickle.UnpicklingError(f"an array of {self.order}{self.code}, not of numbers")
        return np.frombuffer(raw.encode("latin1") if isinstance(raw, str) else bytes(raw), f"<{self.code}")


class _Array:
    """Stands in for numpy's array in a pickle; only as large as its bytes."""

    def __init__(self) -> None:
        self.values: NDArray[Any] = np.empty(0, np.uint8)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, column_major, raw = state
        if not isinstance(dtype, _Dtype):
            raise pickle.UnpicklingError("an array without a dtype")
        values = dtype.read(raw)
        if math.prod(shape) != len(values):
            raise pickle.UnpicklingError("an array that is not as large as it announces")
        self.values = values.reshape(shape, order="F" if column_major else "C")


def _reconstruct(*_: object) -> _Array:
    return _Array()


def _scalar(dtype: _Dtype, raw: bytes | str) -> Any:
    return dtype.read(raw)[0].item()


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """What Python 3 writes for bytes in an old pickle; any codec but this one is refused."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"text in {encoding}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """What Python 3 writes for empty bytes in an old pickle."""
    return b""


ALLOWED = {
    ("__builtin__", "bytes"): _no_bytes,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
    **{
        (f"numpy.{core}.multiarray", name): made
        for core in ("core", "_core")
        for name, made in (("_reconstruct", _reconstruct), ("scalar", _scalar))
    },
}


class _Careful(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return ALLOWED[module, name]


def read_pickled(content: bytes, path: Path) -> dict[str, Any]:
    """Return a pickled dictionary with all keys as text; nothing in it is executed.

    path: named in errors only. Raises DataError for a pickle that holds or asks for anything but data.
    """
    try:
        entry = _Careful(io.BytesIO(content), encoding="latin1").load()  # which can make nothing but data
    except Exception as error:  # a damaged pickle can raise almost anything
        raise DataError(f"{path}: refused, not a plain pickle of arrays and lists ({reason_of(error)})") from error
    if not isinstance(entry, dict):
        raise DataError(f"{path}: holds a {type(entry).__name__}, not a dictionary of arrays and lists")
    found: dict[str, Any] = _plain(entry)
    return found


def _plain(value: Any) -> Any:
    """Return a value with numpy's arrays in place of their stand-ins."""
    if isinstance(value, dict):
        return {_text(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value.values if isinstance(value, _Array) else value


def _text(value: object) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else str(value)
