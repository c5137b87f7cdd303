"""Published sets whose images come as arrays: each image is named after its place in its part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench import DataPlace, Images, Split
from bench.data.download.download import Upstream, provide, read_checked
from bench.data.formats.idx import pair

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.contract import Pixels

MNIST_PREFIXES = {"train": "train", "test": "t10k"}  # part: how its file names begin
IMAGES, LABELS = "images-idx3-ubyte", "labels-idx1-ubyte"


def numbered(part: str, pixels: Pixels, labels: NDArray[np.integer]) -> Split:
    """Return a part with the ids ``part/00000``, ``part/00001`` and so on."""
    pixels.flags.writeable = False  # shared by every stage
    ids = np.array([f"{part}/{number:05d}" for number in range(len(labels))], np.str_)
    return Split(Images(pixels), labels.astype(np.int64), ids)


def fetch_files(upstream: Upstream, place: DataPlace, mirrors: Callable[[], Sequence[str]]) -> Path:
    """Find or download a set's files, check them, and return the folder they are in."""
    found = provide(upstream, place, mirrors)
    read_checked(upstream, found)
    return next(iter(found.values())).parent


def mnist_parts(upstream: Upstream, place: DataPlace, mirrors: Callable[[], Sequence[str]]) -> Mapping[str, Split]:
    """Return the train and test part of a set that is laid out as MNIST is: four gzipped IDX files."""
    files = read_checked(upstream, provide(upstream, place, mirrors))
    return {
        part: numbered(part, *pair(files[f"{prefix}-{IMAGES}"], files[f"{prefix}-{LABELS}"]))
        for part, prefix in MNIST_PREFIXES.items()
    }
