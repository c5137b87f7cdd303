"""GPR1200: 12,000 pictures of 1,200 things, ten of each, from six fields: one test of general-purpose retrieval.

Schall, Barthel, Hezel and Jung 2022, "GPR1200: A Benchmark for General-Purpose Content-Based Image Retrieval" (MMM).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from bench import Collection, DataError, DataPlace, dataset
from bench.contract import Card, ResizeMode
from bench.data.layouts.folder import is_image, visible
from bench.data.layouts.listing import Part

from ._benchmark import Benchmark

BENCHMARK = Benchmark(
    "gpr1200",
    folders=("GPR1200", "gpr1200"),
    layouts=(("images",),),
    get="GPR1200.zip from https://visual-computing.com/project/GPR1200/, unpack it",
)
PUBLISHED = {"test": 12_000}


@dataset
@dataclass(frozen=True)
class Gpr1200:
    """resize: as for a folder."""

    resize: ResizeMode = "crop"

    card: ClassVar[Card] = Card(
        what="Landmarks, animals and plants, sketches, objects, products and faces, 200 things of each field.",
        images="12,000 pictures of any size, colour",
        classes="1,200, ten images of each, in the order of upstream's numbers 200 each of landmarks (Google "
        "Landmarks v2), iNaturalist, ImageNet-Sketch, INSTRE, Stanford Online Products, faces",
        splits="all of it is to test on, nothing to learn from; auto is loo. Upstream's map counts the query among "
        "its own ten answers, at rank 1, and so is higher: (1 + sum over j of (j + 1) / (r_j + 1)) / 10, with r_j "
        "the rank here of the j-th of the nine others",
        licence="non-commercial research only",
        source="Schall et al. 2022, https://visual-computing.com/project/GPR1200/; no checksum",
        problems="the six fields' sources, ImageNet-Sketch and Google Landmarks among them, are what many encoders "
        "learnt from",
    )

    def fetch(self, place: DataPlace) -> Path:
        return BENCHMARK.home(place)

    def load(self, place: DataPlace) -> Collection:
        home = BENCHMARK.home(place)
        names = [entry.name for entry in visible(home / "images") if is_image(entry.name)]
        unnamed = [name for name in names if not name.partition("_")[0].isdecimal()]
        if unnamed:
            raise DataError(f"{home / 'images'}: {unnamed[0]} does not begin with the number of a class and _")
        part = Part.of((str(home / "images" / name), name.partition("_")[0], f"images/{name}") for name in names)
        return BENCHMARK.collect(home, place, {"test": part}, resize=self.resize, published=PUBLISHED)
