"""DISC21: 25,000 pictures ask a million which of them they are copies of; most are copies of none.

Douze, Tolias, Pizzi, Papakipos, Chanussot, Radenović, Jenicek, Maximov, Leal-Taixé, Elezi, Chum and Canton Ferrer 2021,
"The 2021 Image Similarity Dataset and Challenge", https://arxiv.org/abs/2106.09672.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from bench import Collection, DataPlace, dataset
from bench.contract import Card, ResizeMode
from bench.data.layouts.folder import is_image, visible

from ._answers import asked_by, cells
from ._benchmark import Benchmark
from ._pictures import listed_picture

TRUTH, QUERIES, REFERENCES = "public_ground_truth.csv", "images/queries", "images/references"
BENCHMARK = Benchmark(
    "disc21",
    folders=("DISC21", "disc21", "isc2021"),
    layouts=((TRUTH, QUERIES, REFERENCES),),
    get=f"the queries, references and {TRUTH} of https://ai.meta.com/datasets/disc21-dataset, unpack them into "
    f"{QUERIES}/ and {REFERENCES}/",
    ks=(1, 10),
    metrics=("micro_ap", "recall_at_p90"),
)
PUBLISHED = {"query": 25_000, "gallery": 1_000_000}


@dataset
@dataclass(frozen=True)
class Disc21:
    """resize: as for a folder."""

    resize: ResizeMode = "stretch"

    card: ClassVar[Card] = Card(
        what="Pictures, and copies of some that were cropped, overlaid, recoloured or photographed from a screen.",
        images="1,025,000 pictures of any size, colour",
        classes="none: for each query the reference that it is a copy of, or nothing",
        splits="25,000 queries of the development set that the public ground truth names, 4,991 of them copies, ask "
        "1,000,000 references; the training pictures are not read: nothing to learn from; auto is given. Queries that "
        "are copies of nothing count in micro_ap and recall_at_p90, whose false alarms they are, and are left out of "
        "the means of queries: map, hit@k; at k = 1, 10 without -k",
        licence="the data set's own: research; its pictures are Flickr's, under licences of Creative Commons",
        source="Douze et al. 2021, https://ai.meta.com/datasets/disc21-dataset; no checksum",
        problems="scores are as they come: the challenge's best normalised them by the training pictures",
    )

    def fetch(self, place: DataPlace) -> Path:
        return BENCHMARK.home(place)

    def load(self, place: DataPlace) -> Collection:
        home = BENCHMARK.home(place)
        source = home / TRUTH
        lines: dict[str, int] = {}
        answers: dict[str, list[str]] = {}
        for line, row in cells(source, ("query_id", "reference_id")):
            lines.setdefault(row["query_id"], line)
            answers.setdefault(row["query_id"], []).extend(filter(None, [row["reference_id"]]))
        query = [
            (line, listed_picture(home / QUERIES, f"{one}.jpg", source, line), one, answers[one])
            for one, line in lines.items()
        ]
        pictures = (entry for entry in visible(home / REFERENCES) if is_image(entry.name))
        parts = asked_by(source, query, [(entry.path, Path(entry.name).stem) for entry in pictures])
        return BENCHMARK.collect(home, place, parts, resize=self.resize, published=PUBLISHED, mirror=False)
