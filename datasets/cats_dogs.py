"""Cats and dogs: up to 25,000 colour photographs of pets, of any size.

Elson, Douceur, Howell and Saul 2007, "Asirra: A CAPTCHA that Exploits Interest-Aligned Manual Image Categorization".
The photographs are petfinder.com's and Microsoft's; research use. Kaggle has them in several layouts, all of which are
read here. None can be fetched without an account or a click, so that nothing is downloaded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import ClassVar

from bench import Collection, DataError, DataPlace, dataset
from bench.contract import Card, ResizeMode
from bench.data.decoding.decode import DecodeRecipe
from bench.data.layouts.listing import Listing, collect
from bench.data.layouts.locate import own_path

from ._pictures import PART_NAMES, as_folder, bases, find_copy, sort_pictures, tested

COPIES = (  # names under the data root or our cache
    "cats-dogs",
    "cats_dogs",
    "dogs-vs-cats",
    "cat-and-dog",
    "cats-dogs.tar",
    "cats-dogs.zip",
    "cat-and-dog.zip",
    "dogs-vs-cats.zip",
    "kagglecatsanddogs_5340.zip",
    "archive.zip",
)
NAMES = {"cat": "cat", "cats": "cat", "dog": "dog", "dogs": "dog"}
FLAT = re.compile(r"(cat|dog)s?[._ -]?\d*\.", re.IGNORECASE)


def label_of(path: PurePosixPath) -> str | None:
    """Return the class by the folder, or else by the file's own name (``cat.0.jpg``)."""
    by_folder = next((NAMES[name.lower()] for name in reversed(path.parts[:-1]) if name.lower() in NAMES), None)
    flat = FLAT.match(path.name)
    return by_folder or (flat.group(1).lower() if flat else None)


@dataset
@dataclass(frozen=True)
class CatsDogs:
    """path: the folder or archive, if it lies elsewhere than under the data root or our cache.

    resize: as for a folder of your own.
    """

    path: str = ""
    resize: ResizeMode = "crop"

    card: ClassVar[Card] = Card(
        what="Photographs of pets at home, of any size and framing; two classes, so that chance is high.",
        images="up to 25,000 photographs of any size, colour",
        classes="cat and dog, as many images of each",
        splits="training_set 8,000 and test_set 2,000 in one of Kaggle's copies, 20,000 in all in another; a copy "
        "without a test part is cut: 30 % of each class, chosen with seed 0",
        licence="research use; the photographs are petfinder.com's",
        source="Elson et al. 2007 (Asirra), https://www.kaggle.com/datasets/tongpython/cat-and-dog, "
        "https://www.microsoft.com/en-us/download/details.aspx?id=54765",
        problems="with two classes, half of a random gallery is relevant; the PetImages copy has a few broken files; "
        "ImageNet's encoders know these kinds of pictures well; nobody publishes a checksum of an archive: what is in "
        "it is read as it is",
    )

    def fetch(self, place: DataPlace) -> Path:
        return self._copy(place)[0]

    def load(self, place: DataPlace) -> Collection:
        source, tops = self._copy(place)
        parts, left_out = sort_pictures(as_folder(source, place), label_of, tops)
        listing = Listing("cats-dogs", source, tested(parts, source)[0], left_out)
        return collect(listing, place, DecodeRecipe(resize=self.resize), mirror=True)

    def _copy(self, place: DataPlace) -> tuple[Path, list[Path] | None]:
        """Return the folder or archive, and what to look at in it, None for all."""
        if self.path:
            path = own_path(self.path, place)
            if not path.exists():
                raise DataError(f"{path}: no such file or folder")
            return path, None
        found = find_copy(place, COPIES, label_of)
        if found is not None:
            return found, None
        for base in bases(place):
            tops = [entry for entry in sorted(base.iterdir()) if _is_ours(entry)] if base.is_dir() else []
            if tops:
                return base, tops
        raise DataError(
            f"cats-dogs: not found under {', '.join(map(str, bases(place)))}, and nobody lets it be downloaded without "
            "an account. Get archive.zip from https://www.kaggle.com/datasets/tongpython/cat-and-dog or PetImages from "
            "https://www.microsoft.com/en-us/download/details.aspx?id=54765, put it, unpacked or not, into a folder, "
            "and name that with --data-root or SIMBENCH_DATA"
        )


def _is_ours(entry: Path) -> bool:
    """Whether something directly under the data root, where other data sets may lie, is of this one."""
    if not entry.is_dir():
        return FLAT.match(entry.name) is not None
    name = entry.name.lower()
    inside = {path.name.lower() for path in entry.iterdir()} if name in PART_NAMES or name == "petimages" else set()
    return bool(inside & (NAMES.keys() | {name})) or any(FLAT.match(one) for one in inside)
