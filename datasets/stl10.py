"""STL-10: 13,000 labelled colour 96x96 photographs of 10 kinds of animals and vehicles.

Coates, Lee and Ng 2011, "An Analysis of Single Layer Networks in Unsupervised Feature Learning",
https://cs.stanford.edu/~acoates/stl10/. Train 5,000, test 8,000; the 100,000 images without a label and upstream's ten
folds of the train part are not used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from bench import Collection, DataError, DataPlace, dataset
from bench.contract import Card
from bench.data.download.download import Bundle, Upstream, UpstreamFile, fetch_bundle, read_bundle

from ._numbered import numbered

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.contract import Pixels

CLASSES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
SIDE = 96

BUNDLE = Bundle(  # the md5 sums are torchvision's
    archive=Upstream(
        dataset="stl10",
        files=(UpstreamFile("stl10_binary.tar.gz", "91f7769df0f17e558f3565bffb0c7dfb", suffix=""),),
        layouts=("stl10", "."),  # the second is torchvision's
    ),
    folder="stl10_binary",
    files=(
        UpstreamFile("train_X.bin", "918c2871b30a85fa023e0c44e0bee87f", suffix=""),
        UpstreamFile("train_y.bin", "5a34089d4802c674881badbb80307741", suffix=""),
        UpstreamFile("test_X.bin", "7f263ba9f9e0b06b93213547f721ac82", suffix=""),
        UpstreamFile("test_y.bin", "36f9794fa4beb8a2c72628de14fa638e", suffix=""),
    ),
    keep=True,  # nine tenths of the archive are images without a label
)


def mirrors() -> Sequence[str]:
    """The addresses that torchvision downloads from."""
    return ("http://ai.stanford.edu/~acoates/stl10/",)


@dataset
@dataclass(frozen=True)
class STL10:
    """No options. Looked for under the data root and our cache, as archive or unpacked, then downloaded (2.6 GB)."""

    bundle: ClassVar[Bundle] = BUNDLE
    card: ClassVar[Card] = Card(
        what="Photographs of animals and vehicles from ImageNet, few to learn from, larger than CIFAR's.",
        images="13,000 of 96x96, colour; 100,000 without a label are not used",
        classes="10 kinds (CIFAR-10's, with monkey for frog), as many images of each",
        splits="train 5,000, test 8,000; upstream's ten folds of 1,000 are not used",
        licence="none stated; the images are ImageNet's, for non-commercial research",
        source="Coates et al. 2011, https://cs.stanford.edu/~acoates/stl10/",
        problems="encoders pretrained on ImageNet have seen some of these images; nine tenths of the download (2.6 GB) "
        "are not used",
    )

    def fetch(self, place: DataPlace) -> Path:
        return fetch_bundle(self.bundle, place, mirrors)

    def load(self, place: DataPlace) -> Collection:
        files = read_bundle(self.bundle, place, mirrors)
        parts = {}
        for part in ("train", "test"):
            pixels = _images(*files[f"{part}_X.bin"])
            labels = np.frombuffer(files[f"{part}_y.bin"][0], np.uint8)
            where = files[f"{part}_y.bin"][1]
            if len(labels) != len(pixels):
                raise DataError(f"{where}: holds {len(labels)} labels for {len(pixels)} images")
            if len(labels) and not 1 <= labels.min() <= labels.max() <= len(CLASSES):
                raise DataError(f"{where}: labels beyond 1 to {len(CLASSES)}")
            parts[part] = numbered(part, pixels, labels.astype(np.int64) - 1)
        return Collection("stl10", CLASSES, train=parts["train"], test=parts["test"], mirror=True)


def _images(content: bytes, path: Path) -> Pixels:
    """Return images ``(n, 96, 96, 3)`` from bytes that go channel by channel, and column by column."""
    size = 3 * SIDE * SIDE
    if len(content) % size:
        raise DataError(f"{path}: {len(content)} bytes are not whole images of {size}; delete it and get it again")
    values: NDArray[np.uint8] = np.frombuffer(content, np.uint8).reshape(-1, 3, SIDE, SIDE)
    return np.ascontiguousarray(values.transpose(0, 3, 2, 1))
