"""Food-101: 101,000 photographs of 101 dishes.

Bossard, Guillaumin and Van Gool 2014, "Food-101 - Mining Discriminative Components with Random Forests" (ECCV).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from bench import Collection, DataError, DataPlace, dataset
from bench.contract import Card, ResizeMode
from bench.data.layouts.listing import Part
from bench.naming import reason_of

from ._benchmark import Benchmark
from ._pictures import listed_picture

LISTS = {"train": "meta/train.json", "test": "meta/test.json"}
BENCHMARK = Benchmark(
    "food101",
    folders=("food-101", "food101"),
    layouts=((*LISTS.values(), "images"),),
    get="food-101.tar.gz from https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/, unpack it",
)
PUBLISHED = {"train": 75_750, "test": 25_250}


@dataset
@dataclass(frozen=True)
class Food101:
    """resize: as for a folder."""

    resize: ResizeMode = "crop"

    card: ClassVar[Card] = Card(
        what="Photographs of dishes, as guests of restaurants took them.",
        images="101,000 photographs, the longer side at most 512, colour",
        classes="101 dishes, 1,000 images of each",
        splits="train 75,750, test 25,250; auto is loo: the test part's images ask each other. No rule of retrieval "
        "is in use by all; papers report k-NN accuracy (--protocol database: the train part is the gallery)",
        licence="the photographs are foodspotting.com's users'; use beyond research is theirs to grant",
        source="Bossard et al. 2014, https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/; no checksum; counts "
        "and largest side compared with the card of ethz/food101 on the Hub",
        problems="the train part is not cleaned: some labels in it are wrong, and some colours garish",
    )

    def fetch(self, place: DataPlace) -> Path:
        return BENCHMARK.home(place)

    def load(self, place: DataPlace) -> Collection:
        home = BENCHMARK.home(place)
        parts = {part: Part.of(_read(home, home / name)) for part, name in LISTS.items()}
        return BENCHMARK.collect(home, place, parts, resize=self.resize, published=PUBLISHED)


def _read(home: Path, source: Path) -> Iterator[tuple[str, str, str]]:
    """Yield the pictures of a part: a JSON object of ``class/number`` texts by class."""
    try:
        read = json.loads(source.read_text("utf-8"))
        listed = [(name, inner) for name, some in read.items() for inner in some]
        if not all(isinstance(inner, str) for _, inner in listed):
            raise ValueError("a picture's name that is no text")
    except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise DataError(f"{source}: not a JSON object of lists of pictures by class ({reason_of(error)})") from error
    for row, (name, inner) in enumerate(listed, start=1):
        yield listed_picture(home / "images", f"{inner}.jpg", source, row), name, f"images/{inner}.jpg"
