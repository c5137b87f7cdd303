"""What a finished run keeps beside run.json, read back: arrays by name. ``artifacts`` writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from bench.contract import DAMAGED_ARRAYS, DataError

PER_QUERY = "per_query.npz"
SAMPLES = "samples.npz"
VECTORS = "embeddings.safetensors"


def read_arrays(path: Path, *names: str) -> dict[str, NDArray[Any]]:
    """Return a file's arrays of these names, or all of them. Raises DataError where it or one of them is not there."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            missing = [name for name in names if name not in kept.files]
            if missing:
                known = [name for name in kept.files if kept[name].dtype == np.float64]
                raise DataError(f"{path} has no {', '.join(missing)} (it has: {', '.join(known)})")
            return {name: kept[name] for name in names or kept.files}
    except DAMAGED_ARRAYS as error:
        raise DataError(f"cannot read {path}: {error}; run it again (--force)") from error


def read_vectors(folder: Path) -> dict[str, NDArray[np.float32]]:
    """Return a run's unit vectors, float32: ``query`` and ``gallery``, one array where they are one, and any others.

    Raises DataError where the file is missing or damaged.
    """
    path = folder / VECTORS
    try:
        kept = load_file(path)
        return {"query": kept["gallery"], **kept}
    except (OSError, SafetensorError) as error:
        raise DataError(f"cannot read {path}: {error}; run it again (--force)") from error
    except KeyError as error:
        raise DataError(f"{path} holds no gallery vectors; run it again (--force)") from error
