"""VehicleID: 221,763 photographs of 26,267 vehicles; vehicleid is vehicleid:small, others :medium and :large.

Liu, Tian, Yang, Pang and Huang 2016, "Deep Relative Distance Learning: Tell the Difference Between Similar Vehicles"
(CVPR).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

from bench import Collection, DataPlace, dataset
from bench.contract import Card, ResizeMode
from bench.data.layouts.listing import Part

from ._benchmark import Benchmark, rows
from ._pictures import listed_picture

TESTED = {"small": 800, "medium": 1_600, "large": 2_400}  # vehicles
TRAIN, TEST = "train_test_split/train_list.txt", "train_test_split/test_list_{}.txt"
BENCHMARK = Benchmark(
    "vehicleid",
    folders=("VehicleID_V1.0", "VehicleID", "vehicleid"),
    layouts=((TRAIN, *(TEST.format(count) for count in TESTED.values()), "image"),),
    get="VehicleID_V1.0, by a request to its authors (https://www.pkuml.org/resources/pku-vehicleid.html), unpack it",
    ks=(1, 5, 10),
)
PUBLISHED = {
    "small": {"train": 113_346, "test": 6_493},
    "medium": {"train": 113_346, "test": 13_377},
    "large": {"train": 113_346, "test": 19_777},
}


@dataset
@dataclass(frozen=True)
class Vehicleid:
    """variant: which list of vehicles is tested on; NAME:VARIANT is short for it. resize: as for a folder."""

    variant: Literal["small", "medium", "large"] = "small"
    resize: ResizeMode = "crop"

    card: ClassVar[Card] = Card(
        what="Photographs of vehicles by surveillance cameras in a city, from the front or the back.",
        images="221,763 photographs, of which the lists name a part, colour",
        classes="26,267 vehicles, 13,164 of them to learn from",
        splits="small, which vehicleid alone means: 6,493 images of 800 vehicles to test on; medium: 13,377 of "
        "1,600; large: 19,777 of 2,400; train 113,346 images of 13,164 others; auto is single_shot: one image of "
        "each vehicle, drawn by the split seed, is the gallery, and the others ask. Published figures are means over "
        "ten draws: --split-seeds 0..9; what its papers call rank-k is hit@k here, at k = 1, 5, 10 without -k",
        licence="on request, for academic research only",
        source="Liu et al. 2016, https://www.pkuml.org/resources/pku-vehicleid.html; no checksum",
        problems="vehicles of one model and colour differ in a sticker; a vehicle has few images, and one draw's "
        "gallery is easier than another's",
    )

    def fetch(self, place: DataPlace) -> Path:
        return BENCHMARK.home(place)

    def load(self, place: DataPlace) -> Collection:
        home = BENCHMARK.home(place)
        lists = {"train": TRAIN, "test": TEST.format(TESTED[self.variant])}
        parts = {part: Part.of(_read(home, home / name)) for part, name in lists.items()}
        published = PUBLISHED[self.variant]
        found = BENCHMARK.collect(home, place, parts, resize=self.resize, published=published, variant=self.variant)
        return replace(found, protocol="single_shot")


def _read(home: Path, source: Path) -> Iterator[tuple[str, str, str]]:
    """Yield the pictures of a list of ``number of the image, number of the vehicle``."""
    for line, (image, vehicle) in rows(source, 2):
        inner = f"image/{image}.jpg"
        yield listed_picture(home, inner, source, line), vehicle, inner
