"""Grocery Store: 5,421 photographs by phone of 81 products in shops, and an iconic picture of each product.

Klasson, Zhang and Kjellstrom 2019, "A Hierarchical Grocery Store Image Dataset with Visual and Semantic Labels" (WACV),
https://arxiv.org/abs/1901.00711. Train 2,640, validation 296, test 2,485; the test part's photographs are the queries
too, of which the 81 iconic pictures are the gallery: a shopper asks a shop's catalogue what this is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal

from bench import Collection, DataError, DataPlace, dataset
from bench.contract import Card, ResizeMode
from bench.data.decoding.decode import DecodeRecipe
from bench.data.download.hub import GitHubCommit, fetch_commit
from bench.data.formats.csv_table import read_cells, read_csv
from bench.data.layouts.listing import Listing, Part, collect

from ._pictures import as_folder, find_copy, listed_picture

UPSTREAM = GitHubCommit(  # the last one, of 2023-09-08; the pictures are those of 2019-11-07
    dataset="grocery",
    repository="marcusklasson/GroceryStoreDataset",
    commit="fc80ba90f803d79d0383df52c5a4ac5de99ff6fc",
    tree="1ac1952cb9a00324104759bde4033782beacb215",
)
COPIES = (  # names under the data root or our cache; "dataset" where that is itself a clone
    *("grocery", "grocery-store", "dataset", "grocery.tar", "grocery.zip", "grocery-store.tar"),
    *UPSTREAM.copies,
)
ICONIC = "iconic-images-and-descriptions"
PARTS = {"train": "train.txt", "validation": "val.txt", "test": "test.txt"}
CLASSES = "classes.csv"
NAMES = {"fine": "Class Name (str)", "coarse": "Coarse Class Name (str)"}  # columns of classes.csv
NUMBER, PICTURE = "Class ID (int)", "Iconic Image Path (str)"


def iconic(path: PurePosixPath) -> str | None:
    """Return the name of an iconic picture's folder, which no other data set has, or None for another picture."""
    return ICONIC if ICONIC in path.parts else None


@dataset
@dataclass(frozen=True)
class Grocery:
    """labels: the products ("fine") or their kinds ("coarse") as classes. resize: as for a folder.

    Looked for under the data root and our cache, as folder or archive, then on GitHub.
    """

    labels: Literal["fine", "coarse"] = "fine"
    resize: ResizeMode = "crop"

    upstream: ClassVar[GitHubCommit] = UPSTREAM
    card: ClassVar[Card] = Card(
        what="Photographs by phone of fruit, vegetables and cartons in shops, and a catalogue's picture of each; "
        "option labels: fine (default) or coarse.",
        images="5,421 photographs, most 348x348, and 81 iconic pictures of 198x198, colour",
        classes="81 products (fine) in 43 kinds (coarse; upstream's text says 42): 28 of fruit, 22 of vegetables, 31 "
        "cartons",
        splits="train 2,640, validation 296 of 60 products, test 2,485; protocol given, which auto stands for here: "
        "the test part's photographs ask the 81 iconic pictures; every other protocol is of the photographs alone",
        licence="MIT",
        source="Klasson et al. 2019, https://arxiv.org/abs/1901.00711, "
        "https://github.com/marcusklasson/GroceryStoreDataset at commit fc80ba90, compared with git's digest",
        problems="several photographs show the same crate or carton in the same place, so that the nearest one of the "
        "test part is often of the same scene; imbalanced (10 to 68 test images a product); cartons of one brand "
        "differ in a word",
    )

    def fetch(self, place: DataPlace) -> Path:
        return find_copy(place, COPIES, iconic) or fetch_commit(self.upstream, place)

    def load(self, place: DataPlace) -> Collection:
        source = self.fetch(place)
        home = _home(as_folder(source, place, (CLASSES, *PARTS.values())), source)
        names, gallery = _products(home, NAMES[self.labels])
        parts = {part: _photographs(home, home / file, names) for part, file in PARTS.items()}
        parts |= {"query": parts["test"], "gallery": gallery}
        title = "grocery" if self.labels == "fine" else f"grocery-{self.labels}"
        return collect(Listing(title, source, parts), place, DecodeRecipe(resize=self.resize), mirror=True)


def _home(folder: Path, source: Path) -> Path:
    """Return the folder with the lists: in a clone ``dataset``, in an archive perhaps below the commit's folder."""
    found = [list_.parent for above in ("", "dataset/", "*/", "*/dataset/") for list_ in folder.glob(above + CLASSES)]
    if not found:
        raise DataError(f"{source}: lacks dataset/{CLASSES} (another data set's, or not the whole of grocery's)")
    return found[0]


def _products(home: Path, column: str) -> tuple[dict[str, str], Part]:
    """Return the classes' names by the products' numbers, and the iconic pictures. column: of the names."""
    table = read_csv(home / CLASSES)
    absent = [name for name in (column, NUMBER, PICTURE) if name not in table.header]
    if absent:
        raise DataError(f"{table.source}: line 1: no column {absent[0]!r}; it is another data set's file")
    names = {cell[NUMBER]: cell[column] for _, cell in table.rows}
    return names, Part.of(
        (listed_picture(home, cell[PICTURE].lstrip("/"), table.source, line), cell[column], cell[PICTURE].lstrip("/"))
        for line, cell in table.rows
    )


def _photographs(home: Path, source: Path, names: dict[str, str]) -> Part:
    """Return the photographs of a list, whose lines are ``path, number of the product, number of its kind``."""
    rows = []
    for line, cells in read_cells(source):
        if len(cells) != 3 or cells[1] not in names:
            raise DataError(f"{source}: line {line}: not a path, the number of a product in {CLASSES}, and its kind's")
        rows.append((listed_picture(home, cells[0], source, line), names[cells[1]], cells[0]))
    return Part.of(rows)
