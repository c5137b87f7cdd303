"""The field's benchmarks load from upstream's layouts, written here in miniature, with the parts of each variant."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from miniature_benchmarks import (
    AMSTERTIME,
    CARS_DEVKIT,
    CARS_KAGGLE,
    CARS_ONE_FILE,
    CUB,
    DISC,
    DUKE,
    FLOWERS,
    FOOD,
    GLDV2,
    GPR,
    INAT,
    INSHOP,
    MAKE,
    MARKET,
    MSMT,
    OXFORD,
    OXFORD_1M,
    PARIS,
    PETS,
    SOP,
    VEHICLES,
    VERI,
    Miniature,
    mat,
    structs,
    text,
)

from bench.config import Config, Settings, load_config
from bench.contract import Collection, DataError, DataPlace, card_of, no_progress
from bench.data.splits.protocols import build_dataset
from bench.plugins import DATASET
from bench.registry import find_plugins, get_dataset, plugin_names, variants_of
from bench.runs.loaded_run import images_of
from bench.session import run
from bench.suites.expansion import expand
from bench.suites.suite import find_suite


@dataclass(frozen=True)
class Case:
    """What a data set is to give of a miniature.

    parts: row of the picture in the miniature and class, of each image in its order; asked: how many queries and how
    large a gallery the protocol makes that auto stands for; told: words of the notes.
    """

    name: str
    miniature: Miniature
    parts: Mapping[str, str]
    protocol: str
    asked: tuple[int, int]
    told: str
    ks: tuple[int, ...] = (1, 10, 50)
    variant: str = ""
    label: str = "{}"

    def __str__(self) -> str:
        return f"{self.name}:{self.variant}, {self.miniature.folder}"

    def load(self, place: DataPlace) -> Collection:
        loader: Any = get_dataset(self.name)(**({"variant": self.variant} if self.variant else {}))
        loaded: Collection = loader.load(place)
        return loaded


ALBATROSS, PELICAN, PUFFIN, WREN = "001.Albatross", "100.Pelican", "101.Puffin", "200.Wren"
OF_CUB = {
    "dml": {
        "train": f"0:{ALBATROSS} 1:{ALBATROSS} 2:{PELICAN}",
        "test": f"3:{PUFFIN} 4:{PUFFIN} 5:{WREN} 6:{WREN} 7:{PUFFIN}",
    },
    "official": {
        "train": f"0:{ALBATROSS} 2:{PELICAN} 5:{WREN} 7:{PUFFIN}",
        "test": f"1:{ALBATROSS} 3:{PUFFIN} 4:{PUFFIN} 6:{WREN}",
    },
    "mieb": {"train": "", "test": f"1:{ALBATROSS} 3:{PUFFIN} 4:{PUFFIN} 6:{WREN}"},
}
PARTS_OF_CARS = {
    "dml": {"train": "0:1 1:98 4:1", "test": "2:99 3:196 5:196 6:99 7:196"},
    "official": {"train": "0:1 1:98 2:99 3:196", "test": "4:1 5:196 6:99 7:196"},
    "mieb": {"train": "", "test": "4:1 5:196 6:99 7:196"},
}
NEW = "split by class: 2 classes to learn from, 2 others to test on"
SEEN = {"dml": NEW, "official": "not the published images (train 4 of ", "mieb": "not the published images (test 4 of "}


def leave_one_out(name: str, miniature: Miniature, parts: Mapping[str, str], told: str, **more: Any) -> Case:
    count = len(parts["test"].split())
    return Case(name, miniature, parts, "loo", (count, count), told, **more)


def shades(rows: str) -> str:
    """Return a part of landmarks, which have no label of their own."""
    return " ".join(f"{row}:landmark" for row in rows.split())


DML = (1, 2, 4, 8)
OF_SOP = "0:1 1:1 2:2 3:2 4:11319 5:11319 6:11320 7:11320 8:11320"
OLD, YOUNG = "0:0000 2:0001 4:0007", "1:0000 3:0001 5:0007"
OF_MARKET = {"train": "0:0002 1:0002 2:0007", "query": "3:0001 4:0001 5:0003"}
SEEN_BY_MARKET = "7:0000 8:0001 9:0001 10:0001 11:0003"
BOTH_ERAS = "(query 3 of 1,231, gallery 3 of 1,231)"
CASES = [
    *(leave_one_out("cub200", CUB, parts, SEEN[one], ks=DML, variant=one) for one, parts in OF_CUB.items()),
    *(
        leave_one_out("cars196", cars, parts, SEEN[one], ks=DML, variant=one, label=MAKE)
        for cars in (CARS_ONE_FILE, CARS_DEVKIT, CARS_KAGGLE)
        for one, parts in PARTS_OF_CARS.items()
    ),
    leave_one_out(
        "sop",
        SOP,
        {"train": "0:1 1:1 2:2 3:2", "test": "4:11319 5:11319 6:11320 7:11320 8:11320"},
        NEW,
        ks=(1, 10, 100, 1000),
        variant="dml",
    ),
    Case(
        "sop",
        SOP,
        {"train": "", "query": "0:1 2:2 4:11319 6:11320", "gallery": OF_SOP},
        protocol="given",
        asked=(4, 9),
        told="(query 4 of 22,634, gallery 9 of 120,053)",
        ks=(1, 10, 100, 1000),
        variant="mieb",
    ),
    Case(
        "inshop",
        INSHOP,
        {"train": "0:2 1:2 2:3", "query": "3:4 5:5", "gallery": "4:4 6:5 7:5"},
        protocol="given",
        asked=(2, 3),
        told="(train 3 of 25,882, query 2 of 14,218, gallery 3 of 12,612)",
        ks=(1, 10, 20, 30, 40, 50),
        label="id_0000000{}",
    ),
    leave_one_out(
        "food101",
        FOOD,
        {"train": "5:waffles 0:apple_pie", "test": "2:apple_pie 3:apple_pie 6:waffles 7:waffles"},
        "(train 2 of 75,750, test 4 of 25,250)",
    ),
    leave_one_out(
        "oxford_pets",
        PETS,
        {
            "train": "2:Abyssinian 3:great_pyrenees",
            "test": "0:Abyssinian 1:Abyssinian 4:great_pyrenees 5:great_pyrenees",
        },
        "(train 2 of 3,680, test 4 of 3,669)",
    ),
    leave_one_out(
        "flowers102",
        FLOWERS,
        {"train": "4:9 0:77", "validation": "1:77 5:9", "test": "2:77 3:77 6:9 7:9"},
        "(train 2 of 1,020, validation 2 of 1,020, test 4 of 6,149)",
    ),
    leave_one_out("gpr1200", GPR, {"train": "", "test": "0:2 1:2 2:10 3:10"}, "(test 4 of 12,000)"),
    leave_one_out(
        "inat2018", INAT, {"train": "0:2761 1:2761 2:8", "test": "3:31 4:31 5:700 6:700"}, NEW, ks=(1, 4, 16, 32)
    ),
    Case(
        "vehicleid",
        VEHICLES,
        {"train": "0:13 1:13 2:7", "test": "4:22 3:22 5:22 7:5 6:5"},
        protocol="single_shot",
        asked=(3, 2),
        told=NEW,
        ks=(1, 5, 10),
        variant="small",
    ),
    *(
        Case("amstertime", AMSTERTIME, {"train": "", **parts}, "given", (3, 3), BOTH_ERAS, ks=(1, 5), variant=one)
        for one, parts in {
            "old": {"query": OLD, "gallery": YOUNG},
            "new": {"query": YOUNG, "gallery": OLD},
        }.items()
    ),
    *(
        Case(
            name,
            landmarks,
            {"train": "", "query": shades("6 7"), "gallery": shades(database)},
            "given",
            (2, len(database.split())),
            f"(query 2 of 70, gallery {len(database.split())} of {published})",
            ks=(1, 5, 10),
            variant=variant,
        )
        for name, landmarks, variant, database, published in (
            ("roxford5k", OXFORD, "medium", "0 1 2 3 4 5", "4,993"),
            ("roxford5k", OXFORD_1M, "hard_1m", "0 1 2 3 4 5 8 9", "1,005,994"),
            ("rparis6k", PARIS, "easy", "0 1 2 3 4 5", "6,322"),
        )
    ),
    *(
        Case("market1501", MARKET, {**OF_MARKET, "gallery": gallery}, "given", asked, told, ks=(1, 5, 10), variant=one)
        for one, gallery, asked, told in (
            ("standard", SEEN_BY_MARKET, (3, 5), "(train 3 of 12,936, query 3 of 3,368, gallery 5 of 15,913)"),
            (
                "500k",
                f"{SEEN_BY_MARKET} 12:0000",
                (3, 6),
                "(train 3 of 12,936, query 3 of 3,368, gallery 6 of 515,913)",
            ),
        )
    ),
    Case(
        "dukemtmc",
        DUKE,
        {"train": "0:0001 1:0003", "query": "2:0005", "gallery": "3:0005 4:0006"},
        "given",
        (1, 2),
        "withdrawn by its authors",
        ks=(1, 5, 10),
    ),
    Case(
        "veri776",
        VERI,
        {"train": "0:0001 1:0003", "query": "2:0002", "gallery": "3:0002 4:0002 5:0005"},
        "given",
        (1, 3),
        "(train 2 of 37,778, query 1 of 1,678, gallery 3 of 11,579)",
        ks=(1, 5, 10),
    ),
    Case(
        "msmt17",
        MSMT,
        {
            "train": "0:train-0 1:train-1",
            "validation": "2:train-1",
            "query": "3:test-0",
            "gallery": "4:test-0 5:test-0 6:test-1",
        },
        "given",
        (1, 3),
        "(train 2 of 30,248, validation 1 of 2,373, query 1 of 11,659, gallery 3 of 82,161)",
        ks=(1, 5, 10),
    ),
    *(
        Case(
            "gldv2",
            GLDV2,
            {"train": "", "query": query, "gallery": "0:picture 1:picture 2:picture"},
            "given",
            (len(query.split()), 3),
            told,
            ks=(1, 10, 100),
            variant=one,
        )
        for one, query, told in (
            ("private", "3:picture 5:picture", "(query 2 of 750, gallery 3 of 761,757)"),
            ("public", "4:picture", "(query 1 of 379, gallery 3 of 761,757)"),
        )
    ),
    Case(
        "disc21",
        DISC,
        {"train": "", "query": "3:picture 4:picture 6:picture", "gallery": "0:picture 1:picture 2:picture"},
        "given",
        (3, 3),
        "(query 3 of 25,000, gallery 3 of 1,000,000)",
        ks=(1, 10),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_miniature_gives_its_pictures_their_classes_and_parts(
    case: Case, place: DataPlace, tmp_path: Path, png: Callable[[int], bytes]
) -> None:
    case.miniature.put(tmp_path / "root", png)
    found = case.load(place)
    assert found.name == "-".join(filter(None, [case.name.replace("_", "-"), case.variant]))
    seen = {
        name: " ".join(
            f"{shade // 10}:{found.classes[label]}"
            for shade, label in zip(part.images.take(slice(None))[:, 0, 0, 0].tolist(), part.labels, strict=True)
        )
        for name, part in found.parts().items()
    }
    assert seen == {
        part: " ".join(
            f"{row}:{case.label.format(label)}" for row, _, label in (one.partition(":") for one in rows.split())
        )
        for part, rows in case.parts.items()
    }
    assert any(case.told in note for note in found.notes), found.notes


@pytest.mark.parametrize("case", CASES, ids=str)
def test_auto_is_the_protocol_of_its_papers_at_their_depths(
    case: Case, place: DataPlace, tmp_path: Path, png: Callable[[int], bytes]
) -> None:
    case.miniature.put(tmp_path / "root", png)
    data = build_dataset(case.load(place))
    assert (data.protocol.name, (len(data.query), len(data.gallery)), data.ks) == (case.protocol, case.asked, case.ks)
    learnt = {*data.train.ids.tolist(), *data.validation.ids.tolist()}
    assert len(learnt) == len(case.parts["train"].split()) + len(case.parts.get("validation", "").split())
    assert not learnt & set(data.query.ids.tolist())


BROKEN: list[tuple[Case, Mapping[str, bytes | None], str]] = [
    (
        CASES[0],
        {"classes.txt": None},
        r"cub200: not found under .*CUB_200_2011 lacks classes\.txt\), .*Get CUB_200_2011\.tgz",
    ),
    (
        CASES[0],
        {"images.txt": text("1 001.Albatross/A_9.jpg")},
        r"images\.txt: line 1: no such picture below .*A_9\.jpg",
    ),
    (
        CASES[0],
        {"images.txt": text("1 ../images/001.Albatross/A_1.jpg")},
        r"images\.txt: line 1: no such picture below",
    ),
    (CASES[0], {"images.txt": text("1")}, r"images\.txt: line 1: 1 values, not 2; it is another data set's file"),
    (CASES[0], {"images.txt": b"1 \xff.jpg"}, r"images\.txt: line 1: not UTF-8 text"),
    (
        CASES[0],
        {"image_class_labels.txt": text("1 1")},
        r"image_class_labels\.txt: no line for image 2; it is not the whole",
    ),
    (CASES[0], {"image_class_labels.txt": text("1 one")}, r"classes\.txt: no line for class one"),
    (CASES[3], {"cars_annos.mat": b"MATLAB?"}, r"cars_annos\.mat: cannot be read as a MATLAB file"),
    (CASES[3], {"cars_annos.mat": mat(labels=[1, 2])}, r"cars_annos\.mat: holds no class_names; it is another"),
    (
        CASES[3],
        {"cars_annos.mat": mat(class_names=[1, 2], annotations=structs(fname=["a"]))},
        r"cars_annos\.mat: its annotations have no relative_im_path",
    ),
    (
        CASES[6],
        {"devkit/cars_meta.mat": mat(class_names=np.array([["A", "B"]], object))},
        r"cars_train_annos\.mat: line 2: class 98, but there are 2 names",
    ),
    (
        CASES[9],
        {"anno_test.csv": text("1.jpg,1,2,3,4,197")},
        r"anno_test\.csv: line 1: not a file, a box, and the number",
    ),
    (CASES[12], {"Ebay_test.txt": text("1 1 1 a.JPG")}, r"Ebay_test\.txt: line 1: expected 'image_id class_id super"),
    (
        CASES[14],
        {"Eval/list_eval_partition.txt": text("8", "image_name item_id")},
        r"list_eval_partition\.txt: line 2: expected",
    ),
    (
        CASES[14],
        {"Eval/list_eval_partition.txt": text("1", "image_name item_id evaluation_status", "img/a.jpg id_1 val")},
        r"list_eval_partition\.txt: line 3: a part called 'val'; it is train, query or gallery",
    ),
    (CASES[15], {"meta/train.json": b"[]"}, r"train\.json: not a JSON object of lists of pictures by class"),
    (CASES[15], {"meta/test.json": b'{"waffles": [3]}'}, r"test\.json: not a JSON object of lists"),
    (
        CASES[15],
        {"meta/test.json": b'{"waffles": ["waffles/9"]}'},
        r"test\.json: line 1: no such picture below .*waffles/9\.jpg",
    ),
    (CASES[16], {"annotations/test.txt": text("Abyssinian_1 1 1")}, r"test\.txt: line 1: 3 values, not 4"),
    (
        CASES[17],
        {"imagelabels.mat": mat(labels=[1, 2])},
        r"setid\.mat: trnid has the picture 5, and imagelabels\.mat has 2",
    ),
    (CASES[18], {"images/a_c.jpg": b""}, r"images: a_c\.jpg does not begin with the number of a class and _"),
    (
        CASES[19],
        {"Inat_dataset_splits/Inaturalist_test_set1.txt": text("Aves/ba.jpg")},
        r"test_set1\.txt: line 1: Aves/ba\.jpg is no picture in",
    ),
    (CASES[21], {"new/0007.png": None}, r"AmsterTime: places that are not both in old/ and in new/: 0007"),
]


@pytest.mark.parametrize(
    ("case", "changed", "complaint"), BROKEN, ids=[f"{case} {next(iter(changed))}" for case, changed, _ in BROKEN]
)
def test_a_missing_or_changed_file_is_told_in_one_line(  # noqa: PLR0917 - fixtures
    case: Case,
    changed: Mapping[str, bytes | None],
    complaint: str,
    place: DataPlace,
    tmp_path: Path,
    png: Callable[[int], bytes],
) -> None:
    case.miniature.put(tmp_path / "root", png, changed)
    with pytest.raises(DataError, match=complaint) as caught:
        case.load(place)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("case", {case.name: case for case in CASES}.values(), ids=str)
def test_without_a_copy_it_says_what_to_get_and_which_folder_to_name(case: Case, place: DataPlace) -> None:
    told = f"not found under {place.root}, {place.cache}, and simbench does not download it. Get "
    with pytest.raises(DataError, match=re.escape(told)) as caught:
        case.load(place)
    assert str(caught.value).endswith("/ lies in with --data-root or SIMBENCH_DATA")
    assert "\n" not in str(caught.value)


def test_the_data_root_may_be_upstreams_folder_itself_but_none_of_another_name(
    place: DataPlace, tmp_path: Path, png: Callable[[int], bytes]
) -> None:
    GPR.put(tmp_path / "root", png)
    (gpr,) = [case for case in CASES if case.name == "gpr1200"]
    assert gpr.load(replace(place, root=tmp_path / "root" / "GPR1200")).test is not None
    (tmp_path / "root" / "GPR1200").rename(tmp_path / "root" / "holiday")
    with pytest.raises(DataError, match="gpr1200: not found"):
        gpr.load(replace(place, root=tmp_path / "root" / "holiday"))


VARIED = [name for name in plugin_names(DATASET) if variants_of(name)]


@pytest.mark.parametrize("name", VARIED)
def test_the_list_and_the_card_say_which_variant_a_bare_name_is(name: str) -> None:
    first, *others = variants_of(name)
    loader: Any = get_dataset(name)()
    assert loader.variant == first
    summary = find_plugins(DATASET)[name].summary
    assert summary.endswith(
        f"; {name} is {name}:{first}, {'others' if others[1:] else 'the other is'} {_listed(others)}."
    )
    card = card_of(loader)
    assert card is not None
    assert card.splits.startswith(f"{first}, which {name} alone means: ")
    assert all(f"{variant}: " in card.splits for variant in others)


def _listed(names: list[str]) -> str:
    return " and ".join(f":{name}" for name in names)


RECALLED = {case.name: case.ks for case in CASES if case.ks not in ((1, 10, 50), (1, 5), (1, 10, 100), (1, 10))}


@pytest.mark.parametrize("name", RECALLED)
def test_the_card_says_the_depths_and_what_its_papers_call_hit(name: str) -> None:
    card = card_of(get_dataset(name)())
    assert card is not None
    depths = ", ".join(map(str, RECALLED[name]))
    assert re.search(
        rf"what its papers call (Recall@k is hit@k|rank-k is hit@k|mP@k is mp@k) here, at k = {depths} without -k$",
        card.splits,
    )


def test_a_run_is_named_after_its_variant_and_finds_its_pictures_by_that_name(
    tmp_path: Path, png: Callable[[int], bytes]
) -> None:
    CUB.put(tmp_path / "root", png)
    places: dict[str, Any] = {"data_root": str(tmp_path / "root"), "runs": str(tmp_path / "runs")}
    runs = [run("pixels", word, **places) for word in ("cub200", "cub200:mieb")]
    named = [one.folder.relative_to(tmp_path / "runs").as_posix().split("/")[:2] for one in runs]
    assert named == [["cub200-dml", "loo"], ["cub200-mieb", "loo"]]
    hits = [{name for name in one.result.scores if name.startswith("hit@")} for one in runs]
    assert hits == [{"hit@1", "hit@2", "hit@4", "hit@8"}] * 2
    config = Config(Settings(data_root=places["data_root"]), datasets={"cub200": {"variant": "official"}})
    again = images_of(runs[0], config, no_progress, tmp_path / "cache")  # by the run's name for them
    assert (again.name, len(again.query)) == ("cub200-dml", 5)


def test_a_suite_and_bench_toml_take_variants(tmp_path: Path, png: Callable[[int], bytes]) -> None:
    CUB.put(tmp_path / "root", png)
    written = tmp_path / "bench.toml"
    written.write_text(
        f"[run]\ndata_root = '{tmp_path / 'root'}'\n[datasets.cub200]\nvariant = 'official'\n"
        "[suite.birds]\nmethods = ['pixels']\ndatasets = ['cub200', 'cub200:mieb', 'cub200-dml']\n",
        encoding="utf-8",
    )
    config = load_config(written)
    found = expand(find_suite(config, "birds"), config, "cpu", progress=no_progress, cache=tmp_path / "cache")
    assert [(cell.spec.dataset, cell.spec.protocol, cell.spec.ks) for cell in found.cells] == [
        (f"cub200-{variant}", "loo", DML) for variant in ("official", "mieb", "dml")
    ]
