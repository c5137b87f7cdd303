"""iNaturalist 2018, split for retrieval: 461,939 photographs of 8,142 species, the species to test on all new.

Van Horn et al. 2018, "The iNaturalist Species Classification and Detection Dataset" (CVPR); the split is that of Brown,
Xie, Kalogeiton and Zisserman 2020, "Smooth-AP: Smoothing the Path Towards Large-Scale Image Retrieval" (ECCV).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from bench import Collection, DataError, DataPlace, dataset
from bench.contract import Card, ResizeMode
from bench.data.layouts.listing import Part

from ._benchmark import Benchmark, rows
from ._pictures import listed_picture

LISTS = {part: f"Inat_dataset_splits/Inaturalist_{part}_set1.txt" for part in ("train", "test")}
BENCHMARK = Benchmark(
    "inat2018",
    folders=("Inaturalist", "inat2018", "iNaturalist2018", "inaturalist"),
    layouts=((*LISTS.values(), "train_val2018"),),
    get="train_val2018.tar.gz from https://github.com/visipedia/inat_comp/tree/master/2018 and Inat_dataset_splits "
    "from https://github.com/Andrew-Brown1/Smooth_AP, unpack both into Inaturalist/",
    ks=(1, 4, 16, 32),
)
PUBLISHED = {"train": 325_846, "test": 136_093}


@dataset
@dataclass(frozen=True)
class Inat2018:
    """resize: as for a folder."""

    resize: ResizeMode = "crop"

    card: ClassVar[Card] = Card(
        what="Photographs of animals, plants and fungi outdoors, by species.",
        images="461,939 photographs, the longer side at most 800, colour",
        classes="8,142 species by upstream's numbers: 5,690 to learn from, 2,452 others to test on",
        splits=f"Smooth-AP's: train 325,846, test 136,093; auto is loo; {BENCHMARK.reported}",
        licence="non-commercial research; each photograph under its photographer's own licence",
        source="Van Horn et al. 2018, https://github.com/visipedia/inat_comp; the lists of Brown et al. 2020, "
        "https://github.com/Andrew-Brown1/Smooth_AP; no checksum",
        problems="imbalanced, from a handful to 1,000 images a species; species that differ in what no photograph "
        "shows",
    )

    def fetch(self, place: DataPlace) -> Path:
        return BENCHMARK.home(place)

    def load(self, place: DataPlace) -> Collection:
        home = BENCHMARK.home(place)
        parts = {part: Part.of(_read(home, home / name)) for part, name in LISTS.items()}
        return BENCHMARK.collect(home, place, parts, resize=self.resize, published=PUBLISHED)


def _read(home: Path, source: Path) -> Iterator[tuple[str, str, str]]:
    """Yield the pictures of a list of ``train_val2018/<kingdom or class>/<number of the species>/<name>.jpg``."""
    for line, (inner,) in rows(source, 1):
        folders = inner.split("/")
        if len(folders) != 4:
            raise DataError(f"{source}: line {line}: {inner} is no picture in a folder of its species")
        yield listed_picture(home, inner, source, line), folders[2], inner
