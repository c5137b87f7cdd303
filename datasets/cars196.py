"""Cars-196: 16,185 photographs of 196 makes and models; cars196 is cars196:dml, others :official and :mieb.

Krause, Stark, Deng and Fei-Fei 2013, "3D Object Representations for Fine-Grained Categorization" (3dRR). Passed on in
three layouts: with `cars_annos.mat`, with `devkit/`, and Kaggle's with CSV files and a folder a class.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from bench import Collection, DataError, DataPlace, dataset
from bench.contract import Card, ResizeMode
from bench.data.formats.csv_table import read_cells
from bench.data.layouts.listing import Part

from ._benchmark import Benchmark, mat_structs, mat_values
from ._pictures import listed_picture

ONE_FILE = "cars_annos.mat"
META, TRAIN, TEST = (f"devkit/cars_{name}.mat" for name in ("meta", "train_annos", "test_annos_withlabels"))
BESIDE = TEST.removeprefix("devkit/")  # where it was downloaded on its own
NAMES = "names.csv"
BENCHMARK = Benchmark(
    "cars196",
    folders=("cars196", "stanford_cars", "stanford-cars", "cars"),
    layouts=(
        (ONE_FILE, "car_ims"),
        (META, TRAIN, TEST, "cars_train", "cars_test"),
        (META, TRAIN, BESIDE, "cars_train", "cars_test"),
        (NAMES, "anno_train.csv", "anno_test.csv", "car_data/car_data"),
    ),
    get="car_ims.tgz and cars_annos.mat, or Kaggle's copy, as Stanford's own host is gone, unpack it into one folder",
    ks=(1, 2, 4, 8),
)
LEARNT = 98  # classes up to this one, of variant dml
PUBLISHED = {
    "dml": {"train": 8_054, "test": 8_131},
    "official": {"train": 8_144, "test": 8_041},
    "mieb": {"test": 8_041},
}


@dataclass(frozen=True)
class Picture:
    """inner: its path below upstream's folder; number: of its class, from 1; train: it is in upstream's train part."""

    inner: str
    number: str
    train: bool
    source: Path
    line: int


@dataset
@dataclass(frozen=True)
class Cars196:
    """variant: which images are learnt from and which ask; NAME:VARIANT is short for it. resize: as for a folder."""

    variant: Literal["dml", "official", "mieb"] = "dml"
    resize: ResizeMode = "crop"

    card: ClassVar[Card] = Card(
        what="Photographs of cars from the web, by make, model and year.",
        images="16,185 photographs of any size, colour",
        classes="196 makes and models, such as Tesla Model S Sedan 2012",
        splits="dml, which cars196 alone means: classes 1 to 98 to learn from (8,054), 99 to 196 to test on (8,131), "
        "as papers on metric learning do; official: upstream's split, train 8,144 and test 8,041 of the same 196 "
        "classes, as open-metric-learning does; mieb: that test part alone, nothing to learn from; auto is loo; "
        f"{BENCHMARK.reported}",
        licence="non-commercial research; the photographs' rights are their owners'",
        source="Krause et al. 2013; https://ai.stanford.edu/~jkrause/cars/car_dataset.html is gone; read as "
        "cars_annos.mat with car_ims/, as devkit/ with cars_train/ and cars_test/, and as Kaggle's names.csv, "
        "anno_train.csv, anno_test.csv with car_data/; no checksum",
        problems="figures of one variant say nothing of another; ids, and with them the fingerprint, differ between "
        "the three layouts; encoders that learnt from captions know the models by name",
    )

    def fetch(self, place: DataPlace) -> Path:
        return BENCHMARK.home(place)

    def load(self, place: DataPlace) -> Collection:
        home = BENCHMARK.home(place)
        names, pictures = _read(home)
        found: dict[str, list[tuple[str, str, str]]] = {"train": [], "test": []}
        for one in pictures:
            number = int(one.number) if one.number.isdecimal() else 0
            if not 0 < number <= len(names):
                raise DataError(f"{one.source}: line {one.line}: class {one.number}, but there are {len(names)} names")
            path = listed_picture(home, one.inner, one.source, one.line)
            learnt = number <= LEARNT if self.variant == "dml" else one.train
            found["train" if learnt else "test"].append((path, names[number - 1], one.inner))
        published = PUBLISHED[self.variant]
        parts = {part: Part.of(found[part]) for part in published}
        return BENCHMARK.collect(home, place, parts, resize=self.resize, published=published, variant=self.variant)


def _read(home: Path) -> tuple[list[str], Iterator[Picture]]:
    """Return the classes' names and the pictures, in whichever layout they are here."""
    if (home / ONE_FILE).exists() and (home / "car_ims").exists():
        return mat_values(home / ONE_FILE, "class_names"), _from_one_file(home / ONE_FILE)
    if (home / META).exists():
        return mat_values(home / META, "class_names"), _from_devkit(home)
    names = [cells[0] for _, cells in read_cells(home / NAMES)]
    return names, _from_tables(home, names)


def _from_one_file(source: Path) -> Iterator[Picture]:
    structs = mat_structs(source, "annotations", ("relative_im_path", "class", "test"))
    for row, (inner, number, test) in enumerate(structs, start=1):
        yield Picture(inner, number, test == "0", source, row)


def _from_devkit(home: Path) -> Iterator[Picture]:
    tested = home / TEST if (home / TEST).exists() else home / BESIDE
    for folder, source in (("cars_train", home / TRAIN), ("cars_test", tested)):
        for row, (name, number) in enumerate(mat_structs(source, "annotations", ("fname", "class")), start=1):
            yield Picture(f"{folder}/{name}", number, folder == "cars_train", source, row)


def _from_tables(home: Path, names: list[str]) -> Iterator[Picture]:
    """Yield Kaggle's pictures, each in a folder of its class's name, of lines ``name, x1, y1, x2, y2, class``."""
    for part in ("train", "test"):
        source = home / f"anno_{part}.csv"
        for line, cells in read_cells(source):
            if len(cells) != 6 or not cells[5].isdecimal() or not 0 < int(cells[5]) <= len(names):
                raise DataError(f"{source}: line {line}: not a file, a box, and the number of one of {NAMES}' lines")
            folder = names[int(cells[5]) - 1].replace("/", "-")
            yield Picture(f"car_data/car_data/{part}/{folder}/{cells[0]}", cells[5], part == "train", source, line)
