"""Names for the array types that the numeric code passes around."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Vectors: TypeAlias = NDArray[np.float32]
Scores: TypeAlias = NDArray[np.float32]
Neighbors: TypeAlias = NDArray[np.int32]
Real: TypeAlias = NDArray[Any]  # any real dtype: what a caller may hand in before it is made float32
Names: TypeAlias = NDArray[np.int64] | NDArray[np.str_]
