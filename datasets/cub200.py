"""CUB-200-2011: 11,788 photographs of 200 kinds of birds; cub200 is cub200:dml, others :official and :mieb.

Wah, Branson, Welinder, Perona and Belongie 2011, "The Caltech-UCSD Birds-200-2011 Dataset", Caltech CNS-TR-2011-001.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from bench import Collection, DataError, DataPlace, dataset
from bench.contract import Card, ResizeMode
from bench.data.layouts.listing import Part

from ._benchmark import Benchmark, pairs
from ._pictures import listed_picture

IMAGES, CLASSES, LABELS, SPLIT = "images.txt", "classes.txt", "image_class_labels.txt", "train_test_split.txt"
BENCHMARK = Benchmark(
    "cub200",
    folders=("CUB_200_2011", "cub200"),
    layouts=((IMAGES, CLASSES, LABELS, SPLIT, "images"),),
    get="CUB_200_2011.tgz from https://data.caltech.edu/records/65de6-vp158, unpack it",
    ks=(1, 2, 4, 8),
)
LEARNT = 100  # classes up to this one, of variant dml
PUBLISHED = {
    "dml": {"train": 5_864, "test": 5_924},
    "official": {"train": 5_994, "test": 5_794},
    "mieb": {"test": 5_794},
}


@dataset
@dataclass(frozen=True)
class Cub200:
    """variant: which images are learnt from and which ask; NAME:VARIANT is short for it. resize: as for a folder."""

    variant: Literal["dml", "official", "mieb"] = "dml"
    resize: ResizeMode = "crop"

    card: ClassVar[Card] = Card(
        what="Photographs of birds, of kinds that differ in a bar on the wing.",
        images="11,788 photographs, most about 500x375, colour",
        classes="200 kinds of birds of North America, 41 to 60 images of each",
        splits="dml, which cub200 alone means: classes 1 to 100 to learn from (5,864), 101 to 200 to test on "
        "(5,924), as papers on metric learning do; official: upstream's split, train 5,994 and test 5,794 of the "
        "same 200 classes, as open-metric-learning does; mieb: that test part alone, nothing to learn from; auto is "
        f"loo; {BENCHMARK.reported}",
        licence="non-commercial research and education; the photographs are those of Flickr's users",
        source="Wah et al. 2011, https://data.caltech.edu/records/65de6-vp158; no checksum",
        problems="all three variants are called CUB in papers, and figures of one say nothing of another; ImageNet "
        "has some of these photographs in its training part",
    )

    def fetch(self, place: DataPlace) -> Path:
        return BENCHMARK.home(place)

    def load(self, place: DataPlace) -> Collection:
        home = BENCHMARK.home(place)
        names, labels, split = (pairs(home / name) for name in (CLASSES, LABELS, SPLIT))
        found: dict[str, list[tuple[str, str, str]]] = {"train": [], "test": []}
        for image, (line, inner) in pairs(home / IMAGES).items():
            number = _of(labels, image, home / LABELS, "image")
            name = _of(names, number, home / CLASSES, "class")
            learnt = int(number) <= LEARNT if self.variant == "dml" else _of(split, image, home / SPLIT, "image") == "1"
            path = listed_picture(home / "images", inner, home / IMAGES, line)
            found["train" if learnt else "test"].append((path, name, inner))
        published = PUBLISHED[self.variant]
        parts = {part: Part.of(found[part]) for part in published}
        return BENCHMARK.collect(home, place, parts, resize=self.resize, published=published, variant=self.variant)


def _of(values: dict[str, tuple[int, str]], key: str, source: Path, what: str) -> str:
    """Return what a list says of a number. Raises DataError where it says nothing, or the number is none."""
    if not key.isdecimal() or key not in values:
        raise DataError(f"{source}: no line for {what} {key}; it is not the whole list")
    return values[key][1]
