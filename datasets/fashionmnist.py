"""FashionMNIST: 70,000 grey 28x28 pictures of 10 kinds of clothing.

Xiao, Rasul and Vollgraf 2017, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms",
https://arxiv.org/abs/1708.07747; MIT licence. Train 60,000, test 10,000, as many of each class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from bench import Collection, DataPlace, dataset
from bench.contract import Card
from bench.data.download.download import Upstream, UpstreamFile

from ._numbered import fetch_files, mnist_parts

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

UPSTREAM = Upstream(
    dataset="fashionmnist",
    files=(  # the md5 sums are torchvision's
        UpstreamFile(
            "train-images-idx3-ubyte",
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        ),
        UpstreamFile(
            "train-labels-idx1-ubyte",
            "25c81989df183df01b3e8a0aad5dffbe",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        ),
        UpstreamFile(
            "t10k-images-idx3-ubyte",
            "bef4ecab320f06d8554ea6380940ec79",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        ),
        UpstreamFile(
            "t10k-labels-idx1-ubyte",
            "bb300cfdad3c16e7a12a480ee83cd310",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    ),
    layouts=("fashionmnist", "FashionMNIST/raw", "fashion-mnist", "."),  # the second is torchvision's
    distribution=(Path("/usr/share/datasets/fashion-mnist"),),
    package="dataset-fashion-mnist",
)


def mirrors() -> Sequence[str]:
    """The addresses that the installed torchvision downloads from; they have moved before."""
    from torchvision.datasets import FashionMNIST as Torchvision  # noqa: PLC0415 - costs seconds, and only here

    return tuple(Torchvision.mirrors)


@dataset
@dataclass(frozen=True)
class FashionMNIST:
    """No options. Looked for under the data root, our cache and Debian's folder, then downloaded."""

    upstream: ClassVar[Upstream] = UPSTREAM
    card: ClassVar[Card] = Card(
        what="Product pictures of clothing, shoes and bags on black; MNIST's format, but much harder.",
        images="70,000 of 28x28, grey",
        classes="10 kinds of garments, as many images of each",
        splits="train 60,000, test 10,000",
        licence="MIT",
        source="Xiao et al. 2017, https://arxiv.org/abs/1708.07747, https://github.com/zalandoresearch/fashion-mnist",
        problems="Shirt, T-shirt/top, Pullover and Coat overlap, and some labels are wrong",
    )

    def fetch(self, place: DataPlace) -> Path:
        return fetch_files(self.upstream, place, mirrors)

    def load(self, place: DataPlace) -> Collection:
        parts = mnist_parts(self.upstream, place, mirrors)
        return Collection("fashionmnist", CLASSES, train=parts["train"], test=parts["test"], mirror=True)
