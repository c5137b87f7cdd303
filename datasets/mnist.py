"""MNIST: 70,000 grey 28x28 pictures of handwritten digits.

LeCun, Bottou, Bengio and Haffner 1998, "Gradient-based learning applied to document recognition",
http://yann.lecun.com/exdb/mnist/. Train 60,000, test 10,000, by different writers.
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

CLASSES = tuple("0123456789")

UPSTREAM = Upstream(
    dataset="mnist",
    files=(  # the md5 sums are torchvision's
        UpstreamFile("train-images-idx3-ubyte", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        UpstreamFile("train-labels-idx1-ubyte", "d53e105ee54ea40749a09fcbcd1e9432"),
        UpstreamFile("t10k-images-idx3-ubyte", "9fb629c4189551a2d022fa330f9573f3"),
        UpstreamFile("t10k-labels-idx1-ubyte", "ec29112dd5afa0611ce80d1b7f02629c"),
    ),
    layouts=("mnist", "MNIST/raw", "mnist/raw"),  # the second is torchvision's
)


def mirrors() -> Sequence[str]:
    """The addresses that torchvision downloads from."""
    return (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "http://yann.lecun.com/exdb/mnist/",
    )


@dataset
@dataclass(frozen=True)
class MNIST:
    """No options. Looked for under the data root and our cache, then downloaded."""

    upstream: ClassVar[Upstream] = UPSTREAM
    card: ClassVar[Card] = Card(
        what="Handwritten digits, centred and of one size: the field's first test, too easy to rank good methods.",
        images="70,000 of 28x28, grey",
        classes="10 digits, 5,421 to 6,742 of each in train",
        splits="train 60,000, test 10,000, by different writers",
        licence="CC BY-SA 3.0, as commonly stated; the original page states none",
        source="LeCun et al. 1998, http://yann.lecun.com/exdb/mnist/",
        problems="nearly solved (the nearest image by pixels shows the same digit for 97 % of the test); a few labels "
        "are doubtful; a mirrored digit is not the same",
    )

    def fetch(self, place: DataPlace) -> Path:
        return fetch_files(self.upstream, place, mirrors)

    def load(self, place: DataPlace) -> Collection:
        parts = mnist_parts(self.upstream, place, mirrors)
        return Collection("mnist", CLASSES, train=parts["train"], test=parts["test"])
