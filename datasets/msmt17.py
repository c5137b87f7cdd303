"""MSMT17: 4,101 people on fifteen cameras, inside and outside.

Wei, Zhang, Gao and Tian 2018, "Person Transfer GAN to Bridge Domain Gap for Person Re-identification" (CVPR).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from bench import Collection, DataError, DataPlace, dataset
from bench.contract import Card, ResizeMode

from ._benchmark import Benchmark, rows
from ._cameras import KS, METRICS, REPORTED, filmed
from ._pictures import listed_picture

LISTS = {"train": "train", "validation": "val", "query": "query", "gallery": "gallery"}  # part: list
LEARNT, TESTED = ("train", "mask_train_v2"), ("test", "mask_test_v2")  # folders of version 1 and 2
BENCHMARK = Benchmark(
    "msmt17",
    folders=("MSMT17_V1", "MSMT17_V2", "MSMT17", "msmt17"),
    layouts=tuple(
        (*(f"list_{name}.txt" for name in LISTS.values()), *both) for both in zip(LEARNT, TESTED, strict=True)
    ),
    get="MSMT17, by a request to its authors (https://www.pkuml.org/resources/pku-msmt17.html), unpack it",
    ks=KS,
    metrics=METRICS,
)
PUBLISHED = {"train": 30_248, "validation": 2_373, "query": 11_659, "gallery": 82_161}


@dataset
@dataclass(frozen=True)
class Msmt17:
    """resize: as for a folder."""

    resize: ResizeMode = "stretch"

    card: ClassVar[Card] = Card(
        what="People on a campus, cut out of the pictures of fifteen cameras, in four weathers of a month.",
        images="126,441 boxes of any size, colour",
        classes="4,101 people: 1,041 to learn from, 3,060 others to test on",
        splits="train 30,248, validation 2,373 of the same people, query 11,659, gallery 82,161, as upstream's lists "
        f"have them; papers learn from both of the first, 32,621; {REPORTED}",
        licence="on request, for academic research only",
        source="Wei et al. 2018, https://www.pkuml.org/resources/pku-msmt17.html; no checksum; version 1, or 2 with "
        "faces masked; counts compared with torchreid at 08bb2cc, whose 32,621 are train and validation together",
        problems="figures of version 1 and 2 differ slightly; the two are one name here",
    )

    def fetch(self, place: DataPlace) -> Path:
        return BENCHMARK.home(place)

    def load(self, place: DataPlace) -> Collection:
        home = BENCHMARK.home(place)
        parts = {}
        for part, name in LISTS.items():
            folder = next(one for one in (TESTED if name in ("query", "gallery") else LEARNT) if (home / one).exists())
            parts[part] = filmed(_read(home / folder, home / f"list_{name}.txt", tested=folder in TESTED))
        return BENCHMARK.collect(home, place, parts, resize=self.resize, published=PUBLISHED)


def _read(folder: Path, source: Path, *, tested: bool) -> Iterator[tuple[str, str, str, str]]:
    """Yield the pictures of a list of ``path, number of the person``, whose numbers begin anew in the test part."""
    for line, (inner, person) in rows(source, 2):
        path = listed_picture(folder, inner, source, line)
        told = inner.rpartition("/")[2].split("_")
        if len(told) < 3:
            raise DataError(f"{source}: line {line}: no camera in the name {inner}; it is another data set's file")
        yield path, f"{'test' if tested else 'train'}-{person}", told[2], inner
