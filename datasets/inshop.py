"""In-Shop Clothes Retrieval (DeepFashion): 52,712 photographs of 7,982 pieces of clothing, with queries and a gallery.

Liu, Luo, Qiu, Wang and Tang 2016, "DeepFashion: Powering Robust Clothes Recognition and Retrieval with Rich
Annotations" (CVPR).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from bench import Collection, DataError, DataPlace, dataset
from bench.contract import Card, ResizeMode
from bench.data.layouts.listing import Part

from ._benchmark import Benchmark, rows
from ._pictures import listed_picture

LIST = "list_eval_partition.txt"
BENCHMARK = Benchmark(
    "inshop",
    folders=(
        "In-shop Clothes Retrieval Benchmark",
        "inshop",
        "In-shop_Clothes_Retrieval_Benchmark",
        "DeepFashion_InShop",
    ),
    layouts=((f"Eval/{LIST}", "Img/img"), (LIST, "Img/img"), (f"Eval/{LIST}", "img"), (LIST, "img")),
    get=f"Img/img.zip and Eval/{LIST} from https://mmlab.ie.cuhk.edu.hk/projects/DeepFashion/InShopRetrieval.html, "
    "unpack the pictures",
    ks=(1, 10, 20, 30, 40, 50),
)
PUBLISHED = {"train": 25_882, "query": 14_218, "gallery": 12_612}


@dataset
@dataclass(frozen=True)
class Inshop:
    """resize: as for a folder."""

    resize: ResizeMode = "crop"

    card: ClassVar[Card] = Card(
        what="A shop's photographs of clothes on models, from several sides.",
        images="52,712 photographs, 256x256, colour",
        classes="7,982 pieces of clothing: 3,997 to learn from, 3,985 others to test on",
        splits="train 25,882, query 14,218, gallery 12,612, as upstream's list has them; protocol given, which auto "
        "stands for here: queries ask the gallery, and no picture is in both. All of train is learnt from; papers "
        "that leave out its pieces with a single picture, as open-metric-learning does, learn from a few less; "
        f"{BENCHMARK.reported}",
        licence="DeepFashion's agreement: non-commercial research only",
        source="Liu et al. 2016, https://mmlab.ie.cuhk.edu.hk/projects/DeepFashion/InShopRetrieval.html; no "
        "checksum; the pictures of Img/img, not the larger ones of Img/img_highres",
        problems="query and gallery pictures of a piece are often of one model in one session; colours of a cut are "
        "one piece",
    )

    def fetch(self, place: DataPlace) -> Path:
        return BENCHMARK.home(place)

    def load(self, place: DataPlace) -> Collection:
        home = BENCHMARK.home(place)
        source = home / "Eval" / LIST if (home / "Eval" / LIST).exists() else home / LIST
        pictures = home / "Img" if (home / "Img" / "img").exists() else home
        found: dict[str, list[tuple[str, str, str]]] = {part: [] for part in PUBLISHED}
        for line, (inner, piece, part) in rows(source, 3, "image_name item_id evaluation_status", above=1):
            if part not in found:
                raise DataError(f"{source}: line {line}: a part called {part!r}; it is train, query or gallery")
            found[part].append((listed_picture(pictures, inner, source, line), piece, inner))
        parts = {part: Part.of(some) for part, some in found.items()}
        return BENCHMARK.collect(home, place, parts, resize=self.resize, published=PUBLISHED)
