"""Market-1501: people on six cameras; market1501 is market1501:standard, the other is :500k.

Zheng, Shen, Tian, Wang, Wang and Tian 2015, "Scalable Person Re-identification: A Benchmark" (ICCV).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from bench import Collection, DataError, DataPlace, dataset
from bench.contract import Card, ResizeMode

from ._benchmark import Benchmark
from ._cameras import KS, METRICS, REPORTED, filmed_folders

FOLDERS = {"train": ("bounding_box_train",), "query": ("query",), "gallery": ("bounding_box_test",)}
DISTRACTORS = "images"
NAME = re.compile(r"(-?\d+)_(c\d)")
BENCHMARK = Benchmark(
    "market1501",
    folders=("Market-1501-v15.09.15", "market1501", "Market-1501"),
    layouts=(tuple(folder for (folder,) in FOLDERS.values()),),
    get="Market-1501-v15.09.15.zip from https://zheng-lab-anu.github.io/Project/project_reid.html, unpack it",
    ks=KS,
    metrics=METRICS,
)
PUBLISHED = {
    "standard": {"train": 12_936, "query": 3_368, "gallery": 15_913},
    "500k": {"train": 12_936, "query": 3_368, "gallery": 515_913},
}


@dataset
@dataclass(frozen=True)
class Market1501:
    """variant: what is searched; NAME:VARIANT is short for it. resize: as for a folder."""

    variant: Literal["standard", "500k"] = "standard"
    resize: ResizeMode = "stretch"

    card: ClassVar[Card] = Card(
        what="People on a campus, cut out of the pictures of six cameras by a detector.",
        images="32,217 boxes without junk, 64x128, colour; 500,000 distractors besides",
        classes="1,501 people: 751 to learn from, 750 others to test on",
        splits="standard, which market1501 alone means: train 12,936, query 3,368, gallery 15,913, with the "
        "distractors 0000 of bounding_box_test and without its junk -1, which is not ranked; 500k: the gallery with "
        f"the distractors of images/ besides; {REPORTED}",
        licence="academic use only, as its authors state",
        source="Zheng et al. 2015, https://zheng-lab-anu.github.io/Project/project_reid.html; no checksum",
        problems="people who were not asked; boxes of a person by a camera are seconds apart",
    )

    def fetch(self, place: DataPlace) -> Path:
        return BENCHMARK.home(place)

    def load(self, place: DataPlace) -> Collection:
        home = BENCHMARK.home(place)
        folders: dict[str, tuple[str, ...]] = dict(FOLDERS)
        if self.variant == "500k":
            if not (home / DISTRACTORS).is_dir():
                raise DataError(
                    f"{home}: no {DISTRACTORS}/ with the 500,000 distractors; market1501:standard needs none"
                )
            folders["gallery"] += (DISTRACTORS,)
        parts = filmed_folders(home, folders, NAME)
        published = PUBLISHED[self.variant]
        return BENCHMARK.collect(home, place, parts, resize=self.resize, published=published, variant=self.variant)
