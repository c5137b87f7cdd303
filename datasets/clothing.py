"""Clothing: 3,781 colour photographs of clothes, of 10 kinds, laid out or hung up at home.

Grigorev 2020, https://github.com/alexeygrigorev/clothing-dataset-small: the ten most frequent kinds of
https://github.com/alexeygrigorev/clothing-dataset. Train 3,068, validation 341, test 372.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import ClassVar

from bench import Collection, DataPlace, dataset
from bench.contract import Card, ResizeMode
from bench.data.decoding.decode import DecodeRecipe
from bench.data.download.hub import GitHubCommit, fetch_commit
from bench.data.layouts.listing import Listing, collect

from ._pictures import as_folder, find_copy, sort_pictures, tested

UPSTREAM = GitHubCommit(  # the last one, of 2020-11-05
    dataset="clothing",
    repository="alexeygrigorev/clothing-dataset-small",
    commit="11961516512414bf9f6c150a832cfd21b54a6b54",
    tree="78b24042178f02d2ec37cee1dbd23d73857fa539",
)
COPIES = ("clothing", "clothing.tar", "clothing.zip", *UPSTREAM.copies)  # under the data root or our cache
CLASSES = ("dress", "hat", "longsleeve", "outwear", "pants", "shirt", "shoes", "shorts", "skirt", "t-shirt")


def label_of(path: PurePosixPath) -> str | None:
    """Return the class by the folder that a file is directly in, if it is one of the ten."""
    name = path.parts[-2] if len(path.parts) > 1 else ""
    return name if name in CLASSES else None


@dataset
@dataclass(frozen=True)
class Clothing:
    """resize: as for a folder. Looked for under the data root and our cache, as folder or archive, then on GitHub."""

    resize: ResizeMode = "crop"

    upstream: ClassVar[GitHubCommit] = UPSTREAM
    card: ClassVar[Card] = Card(
        what="Photographs of single pieces of clothing, laid out or hung up at home.",
        images="3,781 photographs, most 400x533, colour",
        classes="10 kinds of clothing, 136 (skirt) to 928 (t-shirt) images of each",
        splits="train 3,068, validation 341, test 372",
        licence="CC0 1.0; free for any purpose",
        source="Grigorev 2020, https://github.com/alexeygrigorev/clothing-dataset-small at commit 11961516, "
        "compared with git's digest",
        problems="imbalanced; the test part has 12 images of hat and of skirt, so that one query weighs much there; "
        "longsleeve, shirt and t-shirt overlap",
    )

    def fetch(self, place: DataPlace) -> Path:
        return find_copy(place, COPIES, label_of) or fetch_commit(self.upstream, place)

    def load(self, place: DataPlace) -> Collection:
        source = self.fetch(place)
        parts, left_out = sort_pictures(as_folder(source, place), label_of)
        listing = Listing("clothing", source, tested(parts, source)[0], left_out)
        return collect(listing, place, DecodeRecipe(resize=self.resize), mirror=True)
