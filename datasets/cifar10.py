"""CIFAR-10: 60,000 colour 32x32 photographs of 10 kinds of animals and vehicles.

Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images", https://www.cs.toronto.edu/~kriz/cifar.html.
Train 50,000, test 10,000, as many of each class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from bench import Collection, DataPlace, dataset
from bench.contract import Card
from bench.data.download.download import Bundle, Upstream, UpstreamFile, fetch_bundle

from ._cifar import load_cifar

PARTS = {"train": tuple(f"data_batch_{number}" for number in range(1, 6)), "test": ("test_batch",)}

BUNDLE = Bundle(  # the md5 sums are torchvision's
    archive=Upstream(
        dataset="cifar10",
        files=(UpstreamFile("cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a", suffix=""),),
        layouts=("cifar10", "."),  # the second is torchvision's
    ),
    folder="cifar-10-batches-py",
    files=(
        UpstreamFile("batches.meta", "5ff9c542aee3614f3951f8cda6e48888", suffix=""),
        UpstreamFile("data_batch_1", "c99cafc152244af753f735de768cd75f", suffix=""),
        UpstreamFile("data_batch_2", "d4bba439e000b95fd0a9bffe97cbabec", suffix=""),
        UpstreamFile("data_batch_3", "54ebc095f3ab1f0389bbae665268c751", suffix=""),
        UpstreamFile("data_batch_4", "634d18415352ddfa80567beed471001a", suffix=""),
        UpstreamFile("data_batch_5", "482c414d41f54cd18b22e5b47cb7c3cb", suffix=""),
        UpstreamFile("test_batch", "40351d587109b95175f43aff81a1287e", suffix=""),
    ),
)


def mirrors() -> Sequence[str]:
    """The addresses that torchvision downloads from."""
    return ("https://www.cs.toronto.edu/~kriz/",)


@dataset
@dataclass(frozen=True)
class CIFAR10:
    """No options. Looked for under the data root and our cache, as archive or unpacked, then downloaded."""

    bundle: ClassVar[Bundle] = BUNDLE
    card: ClassVar[Card] = Card(
        what="Small photographs of animals and vehicles, the object filling the picture.",
        images="60,000 of 32x32, colour",
        classes="10 kinds of animals and vehicles, as many images of each",
        splits="train 50,000, test 10,000",
        licence="none stated; research use is customary",
        source="Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html",
        problems="about 3 % of the test images have a near-duplicate in train (Barz and Denzler 2020, ciFAIR, "
        "https://arxiv.org/abs/1902.00423); about 0.5 % of the test labels are wrong",
    )

    def fetch(self, place: DataPlace) -> Path:
        return fetch_bundle(self.bundle, place, mirrors)

    def load(self, place: DataPlace) -> Collection:
        return load_cifar(
            self.bundle,
            place,
            mirrors,
            parts=PARTS,
            names=("batches.meta", "label_names"),
            labels="labels",
            title="cifar10",
        )
