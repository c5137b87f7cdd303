"""Oxford Flowers-102: 8,189 photographs of 102 kinds of flowers.

Nilsback and Zisserman 2008, "Automated Flower Classification over a Large Number of Classes" (ICVGIP).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from bench import Collection, DataError, DataPlace, dataset
from bench.contract import Card, ResizeMode
from bench.data.layouts.listing import Part

from ._benchmark import Benchmark, mat_values
from ._pictures import listed_picture

LABELS, SPLIT = "imagelabels.mat", "setid.mat"
PARTS = {"train": "trnid", "validation": "valid", "test": "tstid"}  # what setid.mat calls them
BENCHMARK = Benchmark(
    "flowers102",
    folders=("flowers-102", "flowers102"),
    layouts=((LABELS, SPLIT, "jpg"),),
    get=f"102flowers.tgz, {LABELS} and {SPLIT} from https://www.robots.ox.ac.uk/~vgg/data/flowers/102/, unpack it "
    "into flowers-102/, put the others beside its jpg/",
)
PUBLISHED = {"train": 1_020, "validation": 1_020, "test": 6_149}


@dataset
@dataclass(frozen=True)
class Flowers102:
    """resize: as for a folder."""

    resize: ResizeMode = "crop"

    card: ClassVar[Card] = Card(
        what="Photographs of flowers that are common in the United Kingdom.",
        images="8,189 photographs, the shorter side at least 500, colour",
        classes="102 kinds of flowers, named by upstream's numbers, 40 to 258 images of each",
        splits="train 1,020, validation 1,020 (10 of each kind), test 6,149; auto is loo: the test part's images ask "
        "each other. No rule of retrieval is in use by all; papers report k-NN accuracy (--protocol database: train "
        "is the gallery)",
        licence="upstream states none; photographs from the web and by the authors",
        source="Nilsback and Zisserman 2008, https://www.robots.ox.ac.uk/~vgg/data/flowers/102/; no checksum; counts "
        "compared with the catalogue of TensorFlow Datasets (2.1.1)",
        problems="the test part is imbalanced, and six times as large as train",
    )

    def fetch(self, place: DataPlace) -> Path:
        return BENCHMARK.home(place)

    def load(self, place: DataPlace) -> Collection:
        home = BENCHMARK.home(place)
        labels = mat_values(home / LABELS, "labels")
        parts = {part: Part.of(_read(home, name, labels)) for part, name in PARTS.items()}
        return BENCHMARK.collect(home, place, parts, resize=self.resize, published=PUBLISHED)


def _read(home: Path, name: str, labels: list[str]) -> list[tuple[str, str, str]]:
    """Return the pictures of a part, which the split gives by number, from 1."""
    source, found = home / SPLIT, []
    for row, number in enumerate(mat_values(source, name), start=1):
        if not number.isdecimal() or not 0 < int(number) <= len(labels):
            raise DataError(f"{source}: {name} has the picture {number}, and {LABELS} has {len(labels):,} labels")
        inner = f"jpg/image_{int(number):05d}.jpg"
        found.append((listed_picture(home, inner, source, row), labels[int(number) - 1], inner))
    return found
