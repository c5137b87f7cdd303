"""AmsterTime: 1,231 places in Amsterdam, each old and new; amstertime is amstertime:old, the other is :new.

Yildiz, Khademi, Siebes and van Gemert 2022, "AmsterTime: A Visual Place Recognition Benchmark Dataset for Severe Domain
Shift" (ICPR).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from bench import Collection, DataError, DataPlace, dataset
from bench.contract import Card, ResizeMode
from bench.data.layouts.folder import is_image, visible
from bench.data.layouts.listing import Part
from bench.naming import first_few

from ._benchmark import Benchmark

BENCHMARK = Benchmark(
    "amstertime",
    folders=("AmsterTime", "amstertime"),
    layouts=(("old", "new"),),
    get="the pictures from https://doi.org/10.4121/19580806, unpack them",
    ks=(1, 5),
)
PUBLISHED = {"query": 1_231, "gallery": 1_231}


@dataset
@dataclass(frozen=True)
class Amstertime:
    """variant: the pictures that ask, the others answer; NAME:VARIANT is short for it. resize: as for a folder."""

    variant: Literal["old", "new"] = "old"
    resize: ResizeMode = "crop"

    card: ClassVar[Card] = Card(
        what="Photographs of places from the city's archive, and the same places in today's street view.",
        images="2,462 pictures of any size: 1,231 old ones, most grey, and 1,231 new ones, colour",
        classes="1,231 places, one old and one new image of each",
        splits="old, which amstertime alone means: the old images ask the new ones; new: the new ask the old; "
        "nothing to learn from; auto is given. Published figures pool both directions, as many queries each: the "
        "mean of the two variants' map is the published mAP, hit@1 and hit@5 are top-1 and top-5",
        licence="as https://doi.org/10.4121/19580806 states; photographs of the city archive, street views of "
        "Mapillary",
        source="Yildiz et al. 2022, https://arxiv.org/abs/2203.16291, https://doi.org/10.4121/19580806; no checksum",
        problems="one relevant image a query; rows of trees and canals look alike",
    )

    def fetch(self, place: DataPlace) -> Path:
        return BENCHMARK.home(place)

    def load(self, place: DataPlace) -> Collection:
        home = BENCHMARK.home(place)
        parts = {era: Part.of(_read(home / era)) for era in ("old", "new")}
        alone = sorted(set(parts["old"].labels) ^ set(parts["new"].labels))
        if alone:
            raise DataError(f"{home}: places that are not both in old/ and in new/: {first_few(alone)}")
        other = "new" if self.variant == "old" else "old"
        asked = {"query": parts[self.variant], "gallery": parts[other]}
        return BENCHMARK.collect(
            home, place, asked, resize=self.resize, published=PUBLISHED, variant=self.variant, mirror=False
        )


def _read(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Yield the pictures of an era, each named after its place."""
    for entry in visible(folder):
        if is_image(entry.name):
            yield entry.path, Path(entry.name).stem, f"{folder.name}/{entry.name}"
