"""EMNIST: up to 814,255 grey 28x28 pictures of handwritten digits and letters, in six ways to cut them.

Cohen, Afshar, Tapson and van Schaik 2017, "EMNIST: an extension of MNIST to handwritten letters",
https://arxiv.org/abs/1702.05373; from NIST Special Database 19. Upstream stores every image transposed; here they stand
upright.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from bench import Collection, DataPlace, dataset
from bench.contract import Card, DataError
from bench.data.download.download import Upstream, UpstreamFile, check_whole, provide
from bench.data.formats.archives import read_members, unpack
from bench.data.formats.idx import pair

from ._numbered import IMAGES, LABELS, numbered

ALL = string.digits + string.ascii_uppercase + string.ascii_lowercase
MERGED = tuple(name for name in ALL if name not in "cijklmopsuvwxyz")  # these look like their upper case
CLASSES = {
    "byclass": tuple(ALL),
    "bymerge": MERGED,
    "balanced": MERGED,
    "letters": tuple(string.ascii_lowercase),  # upper and lower case are one class
    "digits": tuple(string.digits),
    "mnist": tuple(string.digits),
}
FIRST = {"letters": 1}  # split: its first label, where that is not 0

UPSTREAM = Upstream(
    dataset="emnist",
    files=(UpstreamFile("gzip.zip", "58c8d27c78d21e728a6bc7b3cc06412e", suffix=""),),  # torchvision's
    layouts=("emnist", "EMNIST/raw", "."),  # the second is torchvision's
)


def mirrors() -> Sequence[str]:
    """The addresses that torchvision downloads from."""
    return ("https://biometrics.nist.gov/cs_links/EMNIST/",)


@dataset
@dataclass(frozen=True)
class EMNIST:
    """split: how the images are cut into classes. Looked for under the data root and our cache, then downloaded."""

    split: Literal["byclass", "bymerge", "balanced", "letters", "digits", "mnist"] = "balanced"

    upstream: ClassVar[Upstream] = UPSTREAM
    card: ClassVar[Card] = Card(
        what="Handwritten digits and letters in MNIST's format; option split: balanced (default), byclass, bymerge, "
        "letters, digits, mnist.",
        images="131,600 of 28x28, grey; byclass and bymerge 814,255, letters 145,600, digits 280,000, mnist 70,000",
        classes="balanced and bymerge 47, byclass 62, letters 26, digits and mnist 10; named after the character",
        splits="balanced: train 112,800, test 18,800; byclass and bymerge 697,932 and 116,323; "
        "letters 124,800 and 20,800; digits 240,000 and 40,000; mnist 60,000 and 10,000",
        licence="none stated; NIST Special Database 19 is a work of the US government",
        source="Cohen et al. 2017, https://arxiv.org/abs/1702.05373",
        problems="upstream stores the images transposed (here they stand upright); 0 and O, 1 and I and L, 5 and S can "
        "hardly be told apart; byclass and bymerge are imbalanced; a mirrored character is not the same",
    )

    def fetch(self, place: DataPlace) -> Path:
        return self._archive(place).parent

    def load(self, place: DataPlace) -> Collection:
        archive = self._archive(place)
        names = {
            part: [f"emnist-{self.split}-{part}-{kind}.gz" for kind in (IMAGES, LABELS)] for part in ("train", "test")
        }
        files = read_members(archive, [name for pair_of_names in names.values() for name in pair_of_names])
        parts = {}
        for part, (images, labels) in names.items():
            unpacked = [(unpack(files[name], archive / name), archive / name) for name in (images, labels)]
            pixels, numbers = pair(unpacked[0], unpacked[1])
            shifted = numbers.astype(np.int64) - FIRST.get(self.split, 0)
            if len(shifted) and not 0 <= shifted.min() <= shifted.max() < len(CLASSES[self.split]):
                raise DataError(f"{archive / labels}: labels beyond the {len(CLASSES[self.split])} classes")
            parts[part] = numbered(part, np.ascontiguousarray(pixels.transpose(0, 2, 1, 3)), shifted)
        return Collection(f"emnist-{self.split}", CLASSES[self.split], train=parts["train"], test=parts["test"])

    def _archive(self, place: DataPlace) -> Path:
        (path,) = provide(self.upstream, place, mirrors).values()
        check_whole(self.upstream.dataset, self.upstream.files[0], path)
        return path
