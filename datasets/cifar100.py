"""CIFAR-100: 60,000 colour 32x32 photographs of 100 kinds of things, in 20 groups.

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

BUNDLE = Bundle(  # the md5 sums are torchvision's
    archive=Upstream(
        dataset="cifar100",
        files=(UpstreamFile("cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85", suffix=""),),
        layouts=("cifar100", "."),  # the second is torchvision's
    ),
    folder="cifar-100-python",
    files=(
        UpstreamFile("meta", "7973b15100ade9c7d40fb424638fde48", suffix=""),
        UpstreamFile("train", "16019d7e3df5f24257cddd939b257f8d", suffix=""),
        UpstreamFile("test", "f0ef6b0ae62326f3e7ffdfab6717acfc", suffix=""),
    ),
)


def mirrors() -> Sequence[str]:
    """The addresses that torchvision downloads from."""
    return ("https://www.cs.toronto.edu/~kriz/",)


@dataset
@dataclass(frozen=True)
class CIFAR100:
    """coarse: the 20 groups as classes. Looked for under the data root and our cache, then downloaded."""

    coarse: bool = False

    bundle: ClassVar[Bundle] = BUNDLE
    card: ClassVar[Card] = Card(
        what="Small photographs of animals, plants, people, things and places; option coarse: 20 groups as classes.",
        images="60,000 of 32x32, colour",
        classes="100 kinds, as many images of each, in 20 groups of five",
        splits="train 50,000, test 10,000",
        licence="none stated; research use is customary",
        source="Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html",
        problems="about 10 % of the test images have a near-duplicate in train (Barz and Denzler 2020, ciFAIR, "
        "https://arxiv.org/abs/1902.00423); some classes overlap (maple, oak and willow trees; boy, man, girl, woman)",
    )

    def fetch(self, place: DataPlace) -> Path:
        return fetch_bundle(self.bundle, place, mirrors)

    def load(self, place: DataPlace) -> Collection:
        kind = "coarse" if self.coarse else "fine"
        return load_cifar(
            self.bundle,
            place,
            mirrors,
            parts={"train": ("train",), "test": ("test",)},
            names=("meta", f"{kind}_label_names"),
            labels=f"{kind}_labels",
            title="cifar100-coarse" if self.coarse else "cifar100",
        )
