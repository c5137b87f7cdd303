"""Google Landmarks v2, lists of 2.1: 761,757 pictures; gldv2 is gldv2:private, the other is :public.

Weyand, Araujo, Cao and Sim 2020, "Google Landmarks Dataset v2: A Large-Scale Benchmark for Instance-Level Recognition
and Retrieval" (CVPR).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from bench import Collection, DataPlace, dataset
from bench.contract import Card, ResizeMode

from ._answers import asked_by, cells
from ._benchmark import Benchmark
from ._pictures import listed_picture

INDEX, SOLUTION = "index.csv", "retrieval_solution_v2.1.csv"
NOTHING = "None"  # in place of answers
BENCHMARK = Benchmark(
    "gldv2",
    folders=("google-landmark", "gldv2", "google_landmarks_v2"),
    layouts=((INDEX, SOLUTION, "index", "test"),),
    get=f"the index and test pictures, {INDEX} and {SOLUTION} by https://github.com/cvdfoundation/google-landmark, "
    "unpack them into index/ and test/",
    ks=(1, 10, 100),
)
PUBLISHED = {"private": {"query": 750, "gallery": 761_757}, "public": {"query": 379, "gallery": 761_757}}


@dataset
@dataclass(frozen=True)
class Gldv2:
    """variant: the queries that ask; NAME:VARIANT is short for it. resize: as for a folder."""

    variant: Literal["private", "public"] = "private"
    resize: ResizeMode = "crop"

    card: ClassVar[Card] = Card(
        what="Photographs of landmarks of the world, from Wikimedia Commons.",
        images="761,757 photographs to search and 1,129 that ask, of any size, colour",
        classes="none: for each query a list of the images of its landmark",
        splits="private, which gldv2 alone means: 750 queries; public: 379; both ask the whole index; the other "
        "116,448 test pictures have no answer in it and do not ask. The train part is not read: "
        "nothing to learn from; auto is given; its papers' mAP@100 is map@100, at k = 1, 10, 100 without -k",
        licence="annotations: CC BY 4.0; each picture has its own, as upstream's lists state",
        source="Weyand et al. 2020, https://github.com/cvdfoundation/google-landmark; its MD5 sums are not compared",
        problems="lists of version 2.0 and 2.1 differ, and so do figures; some landmarks are whole towns or parks",
    )

    def fetch(self, place: DataPlace) -> Path:
        return BENCHMARK.home(place)

    def load(self, place: DataPlace) -> Collection:
        home = BENCHMARK.home(place)
        index, solution = home / INDEX, home / SOLUTION
        gallery = [(_picture(home, "index", row["id"], index, line), row["id"]) for line, row in cells(index, ("id",))]
        query = [
            (line, _picture(home, "test", row["id"], solution, line), row["id"], row["images"].split())
            for line, row in cells(solution, ("id", "images", "Usage"))
            if row["Usage"].lower() == self.variant and row["images"] != NOTHING
        ]
        parts = asked_by(solution, query, gallery)
        published = PUBLISHED[self.variant]
        return BENCHMARK.collect(home, place, parts, resize=self.resize, published=published, variant=self.variant)


def _picture(home: Path, part: str, one: str, source: Path, line: int) -> str:
    """Return a picture's path: it lies three folders deep, which its id's first letters name."""
    return listed_picture(home / part, "/".join((*one[:3], f"{one}.jpg")), source, line)
