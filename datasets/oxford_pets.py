"""Oxford-IIIT Pet: 7,349 photographs of 37 breeds of cats and dogs.

Parkhi, Vedaldi, Zisserman and Jawahar 2012, "Cats and Dogs" (CVPR).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from bench import Collection, DataPlace, dataset
from bench.contract import Card, ResizeMode
from bench.data.layouts.listing import Part

from ._benchmark import Benchmark, rows
from ._pictures import listed_picture

LISTS = {"train": "annotations/trainval.txt", "test": "annotations/test.txt"}
BENCHMARK = Benchmark(
    "oxford-pets",
    folders=("oxford-iiit-pet", "oxford-pets", "oxford_pets"),
    layouts=((*LISTS.values(), "images"),),
    get="images.tar.gz and annotations.tar.gz from https://www.robots.ox.ac.uk/~vgg/data/pets/, unpack both into "
    "oxford-iiit-pet/",
)
PUBLISHED = {"train": 3_680, "test": 3_669}


@dataset
@dataclass(frozen=True)
class OxfordPets:
    """resize: as for a folder."""

    resize: ResizeMode = "crop"

    card: ClassVar[Card] = Card(
        what="Photographs of cats and dogs, by breed.",
        images="7,349 photographs of any size, colour",
        classes="37 breeds, 12 of cats and 25 of dogs, about 200 images of each",
        splits="train 3,680 (upstream's trainval), test 3,669; auto is loo: the test part's images ask each other. "
        "No rule of retrieval is in use by all; papers report k-NN accuracy (--protocol database: train is the "
        "gallery)",
        licence="CC BY-SA 4.0; the photographs' own rights are their owners'",
        source="Parkhi et al. 2012, https://www.robots.ox.ac.uk/~vgg/data/pets/; no checksum; counts compared with "
        "the catalogue of TensorFlow Datasets (4.0.0)",
        problems="ImageNet has many of these breeds as classes, so that its encoders were taught most of them",
    )

    def fetch(self, place: DataPlace) -> Path:
        return BENCHMARK.home(place)

    def load(self, place: DataPlace) -> Collection:
        home = BENCHMARK.home(place)
        parts = {part: Part.of(_read(home, home / name)) for part, name in LISTS.items()}
        return BENCHMARK.collect(home, place, parts, resize=self.resize, published=PUBLISHED)


def _read(home: Path, source: Path) -> Iterator[tuple[str, str, str]]:
    """Yield the pictures of a list of ``name, breed, species, number within it``; the name tells the breed in words."""
    for line, (name, _, _, _) in rows(source, 4):
        inner = f"images/{name}.jpg"
        yield listed_picture(home, inner, source, line), name.rpartition("_")[0] or name, inner
