"""Snacks: 6,745 colour photographs of 20 kinds of snack food, the shorter side 256.

Hollemans, for "Machine Learning by Tutorials", https://huggingface.co/datasets/Matthijs/snacks; from Google Open Images
(images CC BY 2.0, annotations CC BY 4.0). Train 4,838, validation 955, test 952.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import ClassVar

from bench import Collection, DataPlace, dataset
from bench.contract import Card, ResizeMode
from bench.data.decoding.decode import DecodeRecipe
from bench.data.download.hub import hub_snapshot
from bench.data.layouts.listing import Listing, collect

from ._pictures import as_folder, find_copy, sort_pictures, tested

REPOSITORY, ARCHIVE = "Matthijs/snacks", "images.zip"
COPIES = ("snacks", "Matthijs/snacks", "snacks/images.zip", "Matthijs/snacks/images.zip", "snacks.zip", "images.zip")
CLASSES = (
    *("apple", "banana", "cake", "candy", "carrot", "cookie", "doughnut", "grape", "hot dog", "ice cream"),
    *("juice", "muffin", "orange", "pineapple", "popcorn", "pretzel", "salad", "strawberry", "waffle", "watermelon"),
)


def label_of(path: PurePosixPath) -> str | None:
    """Return the class by the folder that a file is directly in, if it is one of the twenty."""
    name = path.parts[-2].lower().replace("_", " ") if len(path.parts) > 1 else ""
    return name if name in CLASSES else None


@dataset
@dataclass(frozen=True)
class Snacks:
    """revision: of the Hub's repository, a commit to have the same bytes for ever. resize: as for a folder.

    Looked for under the data root and our cache, as folder or images.zip, then in Hugging Face's cache and on the Hub.
    """

    revision: str = "main"
    resize: ResizeMode = "crop"

    card: ClassVar[Card] = Card(
        what="Photographs of snack food, with much else in them: small, but not easy.",
        images="6,745 photographs, the shorter side 256, colour",
        classes="20 kinds of food, 204 (pretzel) to 350 images of each",
        splits="train 4,838, validation 955, test 952",
        licence="images CC BY 2.0, annotations CC BY 4.0",
        source="https://huggingface.co/datasets/Matthijs/snacks, from Google Open Images",
        problems="several kinds of food in one picture, but one label; popcorn and pretzel have fewer images; "
        "nobody publishes a checksum of the archive: what is in it is read as it is",
    )

    def fetch(self, place: DataPlace) -> Path:
        copy = find_copy(place, COPIES, label_of)
        if copy is not None:
            return copy
        return hub_snapshot(REPOSITORY, self.revision, place, ((ARCHIVE,),), "snacks") / ARCHIVE

    def load(self, place: DataPlace) -> Collection:
        source = self.fetch(place)
        parts, left_out = sort_pictures(as_folder(source, place), label_of)
        return collect(
            Listing("snacks", source, tested(parts, source)[0], left_out),
            place,
            DecodeRecipe(resize=self.resize),
            mirror=True,
        )
