"""VeRi-776: 776 vehicles on twenty cameras of a city.

Liu, Liu, Mei and Ma 2016, "A Deep Learning-Based Approach to Progressive Vehicle Re-identification for Urban
Surveillance" (ECCV).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from bench import Collection, DataPlace, dataset
from bench.contract import Card, ResizeMode

from ._benchmark import Benchmark
from ._cameras import KS, METRICS, REPORTED, filmed_folders

FOLDERS = {"train": ("image_train",), "query": ("image_query",), "gallery": ("image_test",)}
NAME = re.compile(r"(\d+)_(c\d{3})")
BENCHMARK = Benchmark(
    "veri776",
    folders=("VeRi", "VeRi_with_plate", "veri776"),
    layouts=(tuple(folder for (folder,) in FOLDERS.values()),),
    get="VeRi, by a request to its authors (https://github.com/JDAI-CV/VeRidataset), unpack it",
    ks=KS,
    metrics=METRICS,
)
PUBLISHED = {"train": 37_778, "query": 1_678, "gallery": 11_579}


@dataset
@dataclass(frozen=True)
class Veri776:
    """resize: as for a folder."""

    resize: ResizeMode = "crop"

    card: ClassVar[Card] = Card(
        what="Vehicles in a city's streets, cut out of the pictures of twenty surveillance cameras.",
        images="about 51,000 boxes of any size, colour",
        classes="776 vehicles: 576 to learn from, 200 others to test on",
        splits=f"train 37,778, query 1,678, gallery 11,579, which holds the queries' pictures too; {REPORTED}",
        licence="on request, for academic research only",
        source="Liu et al. 2016, https://github.com/JDAI-CV/VeRidataset; no checksum",
        problems="vehicles of one model and colour differ in a sticker; boxes by a camera are of one passage",
    )

    def fetch(self, place: DataPlace) -> Path:
        return BENCHMARK.home(place)

    def load(self, place: DataPlace) -> Collection:
        home = BENCHMARK.home(place)
        parts = filmed_folders(home, FOLDERS, NAME)
        return BENCHMARK.collect(home, place, parts, resize=self.resize, published=PUBLISHED)
