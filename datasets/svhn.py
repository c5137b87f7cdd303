"""SVHN: 99,289 colour 32x32 pictures of house numbers, the digit in the middle.

Netzer et al. 2011, "Reading Digits in Natural Images with Unsupervised Feature Learning",
http://ufldl.stanford.edu/housenumbers/; for non-commercial use. Cropped digits ("format 2"); train 73,257, test 26,032.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from bench import Collection, DataError, DataPlace, Images, Split, dataset
from bench.contract import Card
from bench.data.download.download import Upstream, UpstreamFile, provide, read_checked
from bench.naming import reason_of

from ._numbered import fetch_files, numbered

if TYPE_CHECKING:
    from numpy.typing import NDArray

FILES = {  # the md5 sums are torchvision's
    "train": UpstreamFile("train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373", suffix=""),
    "test": UpstreamFile("test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3", suffix=""),
    "extra": UpstreamFile("extra_32x32.mat", "a93ce644f1a588dc4d68dda5feec44a7", suffix=""),
}
UPSTREAM = Upstream(dataset="svhn", files=tuple(FILES.values()), layouts=("svhn", "SVHN", "."))
SHAPE = (32, 32, 3)
ZERO = 10  # upstream's label of the digit 0
MAGIC = b"MATLAB 5.0 MAT-file"
OTHER = {b"MATLAB 7.3": "version 7.3 (HDF5)", b"\x89HDF": "version 7.3 (HDF5)", b"MATLAB": "another version"}


def mirrors() -> Sequence[str]:
    """The addresses that torchvision downloads from."""
    return ("http://ufldl.stanford.edu/housenumbers/",)


@dataset
@dataclass(frozen=True)
class SVHN:
    """extra: train on the 531,131 easier extra images as well. Looked for as every set is, then downloaded."""

    extra: bool = False

    upstream: ClassVar[Upstream] = UPSTREAM
    card: ClassVar[Card] = Card(
        what="Digits of house numbers, cropped from street photographs; option extra: train on 531,131 easier ones.",
        images="99,289 of 32x32, colour",
        classes="10 digits, imbalanced: 4,659 (nine) to 13,861 (one) in train",
        splits="train 73,257, test 26,032, extra 531,131 (left out unless asked for)",
        licence="for non-commercial use only",
        source="Netzer et al. 2011, http://ufldl.stanford.edu/housenumbers/",
        problems="neighbouring digits are seen at the sides; some labels are wrong; upstream's label of 0 is 10; "
        "a mirrored digit is not the same",
    )

    def fetch(self, place: DataPlace) -> Path:
        return fetch_files(self._wanted(), place, mirrors)

    def load(self, place: DataPlace) -> Collection:
        wanted = self._wanted()
        contents = read_checked(wanted, provide(wanted, place, mirrors))
        parts = {name.partition("_")[0]: _part(name.partition("_")[0], *found) for name, found in contents.items()}
        train = parts["train"] if "extra" not in parts else _joined(parts["train"], parts["extra"])
        title = "svhn-extra" if self.extra else "svhn"
        return Collection(title, tuple("0123456789"), train=train, test=parts["test"])

    def _wanted(self) -> Upstream:
        left_out = set() if self.extra else {"extra_32x32.mat"}
        return replace(self.upstream, files=tuple(file for file in self.upstream.files if file.name not in left_out))


def _part(name: str, content: bytes, path: Path) -> Split:
    found = read_matlab(content, path, ("X", "y"))
    images: NDArray[np.uint8] = found["X"]
    labels = found["y"].ravel().astype(np.int64)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape != (*SHAPE, len(labels)):
        raise DataError(f"{path}: holds {images.dtype} {images.shape} and {len(labels)} labels, not uint8 {SHAPE} each")
    if len(labels) and not 1 <= labels.min() <= labels.max() <= ZERO:
        raise DataError(f"{path}: labels beyond 1 to {ZERO}")
    return numbered(name, np.ascontiguousarray(images.transpose(3, 0, 1, 2)), labels % ZERO)


def _joined(first: Split, second: Split) -> Split:
    pixels = np.concatenate([first.images.pixels, second.images.pixels])
    pixels.flags.writeable = False
    return Split(Images(pixels), np.concatenate([first.labels, second.labels]), np.concatenate([first.ids, second.ids]))


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
        raise DataError(f"{path}: a damaged MATLAB file ({reason_of(error)}); delete it and get it again") from error
    for name in names:
        if not isinstance(found.get(name), np.ndarray) or found[name].dtype.kind not in "biuf":
            raise DataError(f"{path}: holds no numbers called {name}; it is another data set's file")
    return {name: found[name] for name in names}
