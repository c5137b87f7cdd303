"""MATLAB files of version 5, as SVHN's: numbers by name."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.contract import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAGIC = b"MATLAB 5.0 MAT-file"
OTHER = {b"MATLAB 7.3": "version 7.3 (HDF5)", b"\x89HDF": "version 7.3 (HDF5)", b"MATLAB": "another version"}


def read_matlab(content: bytes, path: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Return the named arrays of numbers. path: named in errors only.

    Raises DataError for another version, a damaged file, a missing name, and anything but numbers.
    """
    if not content.startswith(MAGIC):
        kind = next((kind for magic, kind in OTHER.items() if content.startswith(magic)), "no version")
        raise DataError(f"{path}: not a MATLAB file of version 5 ({kind}); give the original file")
    from scipy.io import loadmat  # noqa: PLC0415 - slow to import, and only here

    try:
        found = loadmat(io.BytesIO(content), variable_names=list(names))
    except Exception as error:  # a damaged file can raise almost anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: a damaged MATLAB file ({reason}); delete it and get it again") from error
    for name in names:
        if not isinstance(found.get(name), np.ndarray) or found[name].dtype.kind not in "biuf":
            raise DataError(f"{path}: holds no numbers called {name}; it is another data set's file")
    return {name: found[name] for name in names}
