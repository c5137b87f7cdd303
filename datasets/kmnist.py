"""KMNIST: 70,000 grey 28x28 pictures of 10 cursive Japanese characters.

Clanuwat et al. 2018, "Deep Learning for Classical Japanese Literature", https://arxiv.org/abs/1812.01718; CC BY-SA 4.0.
Train 60,000, test 10,000, as many of each class.
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

CLASSES = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")

UPSTREAM = Upstream(
    dataset="kmnist",
    files=(  # the md5 sums are torchvision's
        UpstreamFile("train-images-idx3-ubyte", "bdb82020997e1d708af4cf47b453dcf7"),
        UpstreamFile("train-labels-idx1-ubyte", "e144d726b3acfaa3e44228e80efcd344"),
        UpstreamFile("t10k-images-idx3-ubyte", "5c965bf0a639b31b8f53240b1b52f4d7"),
        UpstreamFile("t10k-labels-idx1-ubyte", "7320c461ea6c1c855c0b718fb2a4b134"),
    ),
    layouts=("kmnist", "KMNIST/raw", "kuzushiji"),  # the second is torchvision's
)


def mirrors() -> Sequence[str]:
    """The addresses that torchvision downloads from."""
    return ("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",)


@dataset
@dataclass(frozen=True)
class KMNIST:
    """No options. Looked for under the data root and our cache, then downloaded."""

    upstream: ClassVar[Upstream] = UPSTREAM
    card: ClassVar[Card] = Card(
        what="Ten Hiragana in cursive writing (Kuzushiji), from books of the 17th to 19th century; harder than MNIST.",
        images="70,000 of 28x28, grey",
        classes="10 characters, as many images of each",
        splits="train 60,000, test 10,000",
        licence="CC BY-SA 4.0",
        source="Clanuwat et al. 2018, https://arxiv.org/abs/1812.01718, https://github.com/rois-codh/kmnist",
        problems="a class holds quite different forms of its character (hentaigana); only 10 of the 49 Hiragana; "
        "a mirrored character is not the same",
    )

    def fetch(self, place: DataPlace) -> Path:
        return fetch_files(self.upstream, place, mirrors)

    def load(self, place: DataPlace) -> Collection:
        parts = mnist_parts(self.upstream, place, mirrors)
        return Collection("kmnist", CLASSES, train=parts["train"], test=parts["test"])
