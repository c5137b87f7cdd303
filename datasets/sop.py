"""Stanford Online Products: 120,053 photographs of 22,634 products; sop is sop:dml, the other is :mieb.

Oh Song, Xiang, Jegelka and Savarese 2016, "Deep Metric Learning via Lifted Structured Feature Embedding" (CVPR).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from bench import Collection, DataPlace, dataset
from bench.contract import Card, ResizeMode
from bench.data.layouts.listing import Part

from ._benchmark import Benchmark, rows
from ._pictures import listed_picture

LISTS = {"train": "Ebay_train.txt", "test": "Ebay_test.txt"}
HEADER = "image_id class_id super_class_id path"
BENCHMARK = Benchmark(
    "sop",
    folders=("Stanford_Online_Products", "sop"),
    layouts=(tuple(LISTS.values()),),
    get="Stanford_Online_Products.zip from https://cvgl.stanford.edu/projects/lifted_struct/, unpack it",
    ks=(1, 10, 100, 1_000),
)
PUBLISHED = {"dml": {"train": 59_551, "test": 60_502}, "mieb": {"query": 22_634, "gallery": 120_053}}


@dataset
@dataclass(frozen=True)
class Sop:
    """variant: which images are learnt from and which ask; NAME:VARIANT is short for it. resize: as for a folder."""

    variant: Literal["dml", "mieb"] = "dml"
    resize: ResizeMode = "crop"

    card: ClassVar[Card] = Card(
        what="Sellers' photographs of products on eBay: bicycles, chairs, lamps, mugs, sofas and seven other kinds.",
        images="120,053 photographs of any size, colour",
        classes="22,634 products, 5.3 images of each on average",
        splits="dml, which sop alone means: 59,551 images of 11,318 products to learn from, 60,502 of 11,316 others "
        "to test on; auto is loo. mieb: one image of each of the 22,634 products asks all 120,053, itself left out, "
        "nothing to learn from; auto is given. Which image of a product asks there is MIEB's; here it is the first "
        f"of it in the lists, so that figures differ by that choice; {BENCHMARK.reported}",
        licence="upstream states none; the photographs are those of eBay's sellers",
        source="Oh Song et al. 2016, https://cvgl.stanford.edu/projects/lifted_struct/; no checksum",
        problems="the two variants ask different questions under one name; a product's photographs often share their "
        "background; a class is a seller's product, so that the same thing may be in two classes",
    )

    def fetch(self, place: DataPlace) -> Path:
        return BENCHMARK.home(place)

    def load(self, place: DataPlace) -> Collection:
        home = BENCHMARK.home(place)
        parts = {part: _read(home, home / name) for part, name in LISTS.items()}
        if self.variant == "mieb":
            parts = _asked_once(parts["train"], parts["test"])
        published = PUBLISHED[self.variant]
        return BENCHMARK.collect(home, place, parts, resize=self.resize, published=published, variant=self.variant)


def _read(home: Path, source: Path) -> Part:
    return Part.of(
        (listed_picture(home, inner, source, line), product, inner)
        for line, (_, product, _, inner) in rows(source, 4, HEADER)
    )


def _asked_once(train: Part, test: Part) -> dict[str, Part]:
    """Return all images as the gallery, and the first of each product as a query."""
    every = Part(train.paths + test.paths, train.labels + test.labels, train.ids + test.ids)
    first = dict(zip(reversed(every.labels), reversed(range(len(every))), strict=True))
    return {"query": every.only(sorted(first.values())), "gallery": every}
