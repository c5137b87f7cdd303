"""The field's benchmarks in miniature: upstream's folders and lists, with a handful of tiny pictures each."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import savemat


@dataclass(frozen=True)
class Miniature:
    """Upstream's folder: its lists, and the pictures that they name, in the order that their shades rise in."""

    folder: str
    pictures: list[str]
    lists: Mapping[str, bytes] = field(default_factory=dict)

    def put(self, root: Path, png: Callable[[int], bytes], changed: Mapping[str, bytes | None] | None = None) -> None:
        """Write it below a data root. changed: other or further files by their paths, None for one left out."""
        shades = {name: png(10 * row + 5) for row, name in enumerate(self.pictures)}
        for name, content in {**self.lists, **shades, **(changed or {})}.items():
            if content is not None:
                path = root / self.folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)


def text(*lines: str) -> bytes:
    return ("\n".join(lines) + "\n").encode()


def mat(**variables: Any) -> bytes:
    written = io.BytesIO()
    savemat(written, variables)
    return written.getvalue()


def structs(**fields: list[Any]) -> Any:
    """Return a MATLAB array of structs, one a row, of the fields' columns."""
    rows = np.empty((1, len(next(iter(fields.values())))), [(name, object) for name in fields])
    for name, values in fields.items():
        rows[name][0] = values
    return rows


CUB = Miniature(
    "CUB_200_2011",
    [
        "images/001.Albatross/A_1.jpg",
        "images/001.Albatross/A_2.jpg",
        "images/100.Pelican/P_1.jpg",
        "images/101.Puffin/U_1.jpg",
        "images/101.Puffin/U_2.jpg",
        "images/200.Wren/W_1.jpg",
        "images/200.Wren/W_2.jpg",
        "images/101.Puffin/U_3.jpg",
        "images/001.Albatross/._A_1.jpg",
    ],
    {
        "classes.txt": text("1 001.Albatross", "100 100.Pelican", "101 101.Puffin", "200 200.Wren"),
        "images.txt": text(
            *("1 001.Albatross/A_1.jpg", "2 001.Albatross/A_2.jpg", "3 100.Pelican/P_1.jpg", "4 101.Puffin/U_1.jpg"),
            *("5 101.Puffin/U_2.jpg", "6 200.Wren/W_1.jpg", "7 200.Wren/W_2.jpg"),
            "8 101.Puffin/U_3.jpg",
        ),
        "image_class_labels.txt": text("1 1", "2 1", "3 100", "4 101", "5 101", "6 200", "7 200", "8 101"),
        "train_test_split.txt": text("1 1", "2 0", "3 1", "4 0", "5 0", "6 1", "7 0", "8 1"),
    },
)
MAKE = "Make {} C/V 2012"
MAKES = [MAKE.format(number) for number in range(1, 197)]
OF_CARS: dict[str, list[Any]] = {"class": [1, 98, 99, 196, 1, 196, 99, 196]}  # the first four are upstream's train part
CARS_ONE_FILE = Miniature(
    "cars196",
    [f"car_ims/00000{number}.jpg" for number in range(1, 9)],
    {
        "cars_annos.mat": mat(
            annotations=structs(
                relative_im_path=[f"car_ims/00000{number}.jpg" for number in range(1, 9)],
                bbox_x1=[1] * 8,
                **OF_CARS,
                test=[0] * 4 + [1] * 4,
            ),
            class_names=np.array([MAKES], object),
        )
    },
)
DEVKIT = [f"0000{number}.jpg" for number in range(1, 5)]
CARS_DEVKIT = Miniature(
    "stanford_cars",
    [f"cars_{part}/{name}" for part in ("train", "test") for name in DEVKIT],
    {
        "devkit/cars_meta.mat": mat(class_names=np.array([MAKES], object)),
        "devkit/cars_train_annos.mat": mat(annotations=structs(**{"class": OF_CARS["class"][:4]}, fname=DEVKIT)),
        "cars_test_annos_withlabels.mat": mat(annotations=structs(**{"class": OF_CARS["class"][4:]}, fname=DEVKIT)),
    },
)
OF_KAGGLE = {
    part: [(f"{row}.jpg", number) for row, number in enumerate(numbers)]
    for part, numbers in (("train", OF_CARS["class"][:4]), ("test", OF_CARS["class"][4:]))
}
CARS_KAGGLE = Miniature(
    "cars",
    [
        f"car_data/car_data/{part}/Make {number} C-V 2012/{name}"
        for part, some in OF_KAGGLE.items()
        for name, number in some
    ],
    {
        "names.csv": text(*MAKES),
        **{
            f"anno_{part}.csv": text(*(f"{name},1,2,3,4,{number}" for name, number in some))
            for part, some in OF_KAGGLE.items()
        },
    },
)
HEAD = "image_id class_id super_class_id path"
SOP = Miniature(
    "Stanford_Online_Products",
    [
        "bicycle_final/11_0.JPG",
        "bicycle_final/11_1.JPG",
        "mug_final/12_0.JPG",
        "mug_final/12_1.JPG",
        "sofa_final/21_0.JPG",
        "sofa_final/21_1.JPG",
        "table_final/22_0.JPG",
        "table_final/22_1.JPG",
        "table_final/22_2.JPG",
    ],
    {
        "Ebay_train.txt": text(
            *(HEAD, "1 1 1 bicycle_final/11_0.JPG", "2 1 1 bicycle_final/11_1.JPG"),
            *("3 2 8 mug_final/12_0.JPG", "4 2 8 mug_final/12_1.JPG"),
        ),
        "Ebay_test.txt": text(
            *(HEAD, "5 11319 9 sofa_final/21_0.JPG", "6 11319 9 sofa_final/21_1.JPG"),
            *(f"{7 + n} 11320 11 table_final/22_{n}.JPG" for n in range(3)),
        ),
    },
)
DRESS, DENIM = "img/WOMEN/Dresses/id_0000000{}/02_{}.jpg", "img/MEN/Denim/id_0000000{}/01_{}.jpg"
OF_SHOP = [
    *((DRESS.format(2, "1_front"), "id_00000002", "train"), (DRESS.format(2, "2_side"), "id_00000002", "train")),
    *((DENIM.format(3, "1_front"), "id_00000003", "train"), (DENIM.format(4, "1_front"), "id_00000004", "query")),
    *(
        (DENIM.format(4, "7_additional"), "id_00000004", "gallery"),
        (DRESS.format(5, "1_front"), "id_00000005", "query"),
    ),
    *((DRESS.format(5, "3_back"), "id_00000005", "gallery"), (DRESS.format(5, "4_full"), "id_00000005", "gallery")),
]
INSHOP = Miniature(
    "inshop",
    [f"Img/{inner}" for inner, _, _ in OF_SHOP],
    {
        "Eval/list_eval_partition.txt": text(
            *(str(len(OF_SHOP)), "image_name item_id evaluation_status"),
            *(f"{inner:<70} {piece}   {part}" for inner, piece, part in OF_SHOP),
        )
    },
)
FOOD = Miniature(
    "food-101",
    [f"images/{dish}/{number}.jpg" for dish in ("apple_pie", "waffles") for number in (101, 102, 103, 104)],
    {
        "meta/train.json": json.dumps({"waffles": ["waffles/102"], "apple_pie": ["apple_pie/101"]}).encode(),
        "meta/test.json": json.dumps(
            {one: [f"{one}/{number}" for number in (103, 104)] for one in ("apple_pie", "waffles")}
        ).encode(),
        "meta/classes.txt": text("apple_pie", "waffles"),
    },
)
PETS = Miniature(
    "oxford-iiit-pet",
    [f"images/{breed}_{n}.jpg" for breed in ("Abyssinian", "great_pyrenees") for n in (1, 2, 10)],
    {
        "annotations/trainval.txt": text("Abyssinian_10 1 1 1", "great_pyrenees_1 16 2 10"),
        "annotations/test.txt": text(
            *("Abyssinian_1 1 1 1", "Abyssinian_2 1 1 1", "great_pyrenees_2 16 2 10", "great_pyrenees_10 16 2 10")
        ),
        "images/Abyssinian_10.mat": b"",
    },
)
FLOWERS = Miniature(
    "flowers-102",
    [f"jpg/image_0000{n}.jpg" for n in range(1, 9)],
    {
        "imagelabels.mat": mat(labels=np.array([[77, 77, 77, 77, 9, 9, 9, 9]], np.uint8)),
        "setid.mat": mat(
            trnid=np.array([[5, 1]], np.uint16),
            valid=np.array([[2, 6]], np.uint16),
            tstid=np.array([[3, 4, 7, 8]], np.uint16),
        ),
    },
)
GPR = Miniature(
    "GPR1200",
    [f"images/{name}.jpg" for name in ("2_a", "2_b", "10_0001", "10_0002", "._2_a")],
    {"GPR1200_categoryNumber_to_text.json": b"{}"},
)
OF_INAT = {
    "train": ("Aves/2761/aa", "Aves/2761/ab", "Fungi/8/ac"),
    "test": ("Aves/31/ba", "Aves/31/bb", "Plantae/700/bc", "Plantae/700/bd"),
}
INAT = Miniature(
    "Inaturalist",
    [f"train_val2018/{name}.jpg" for names in OF_INAT.values() for name in names],
    {
        f"Inat_dataset_splits/Inaturalist_{part}_set1.txt": text(*(f"train_val2018/{name}.jpg" for name in names))
        for part, names in OF_INAT.items()
    },
)
AMSTERTIME = Miniature(
    "AmsterTime",
    [name for place in ("0000", "0001", "0007") for name in (f"old/{place}.jpg", f"new/{place}.png")],
    {"image_pairs.csv": b"", "new/._0000.png": b""},
)


VEHICLES = Miniature(
    "VehicleID_V1.0",
    [f"image/000000{n}.jpg" for n in range(1, 9)],
    {
        "train_test_split/train_list.txt": text("0000001 13", "0000002 13", "0000003 7"),
        "train_test_split/test_list_800.txt": text("0000005 22", "0000004 22", "0000006 22", "0000008 5", "0000007 5"),
        "train_test_split/test_list_1600.txt": text("0000007 5", "0000008 5", "0000004 22"),
        "train_test_split/test_list_2400.txt": text("0000007 5", "0000008 5", "0000004 22"),
    },
)


def gnd(*asked: dict[str, Any], imlist: list[Any], qimlist: list[Any]) -> bytes:
    """Return a ground truth of revisited Oxford or Paris, of its queries' boxes and lists."""
    return pickle.dumps({"gnd": list(asked), "imlist": imlist, "qimlist": qimlist}, protocol=2)


OXFORD_DATABASE, OXFORD_QUERIES = [f"all_souls_00000{n}" for n in range(6)], ["all_souls_000013", "radcliffe_000158"]
OXFORD_TRUTH: list[dict[str, Any]] = [
    {"bbx": [1.4, 0.0, 7.6, 6.5], "easy": [0, 3], "hard": [1], "junk": [4]},
    {
        "bbx": np.array([0.0, 0.0, 8.0, 8.0]),
        "easy": np.array([], np.int64),
        "hard": np.array([2]),
        "junk": [np.int64(5)],
    },
]
OXFORD = Miniature(
    "datasets/roxford5k",
    [f"jpg/{name}.jpg" for name in (*OXFORD_DATABASE, *OXFORD_QUERIES)],
    {
        "gnd_roxford5k.pkl": gnd(*OXFORD_TRUTH, imlist=OXFORD_DATABASE, qimlist=OXFORD_QUERIES),
        "../revisitop1m/revisitop1m.txt": text("0/a.jpg", "1/b.jpg"),
    },
)
OXFORD_1M = Miniature(
    "datasets/roxford5k", [*OXFORD.pictures, "../revisitop1m/jpg/0/a.jpg", "../revisitop1m/jpg/1/b.jpg"], OXFORD.lists
)
PARIS = Miniature(
    "rparis6k",
    OXFORD.pictures,
    {"gnd_rparis6k.pkl": gnd(*OXFORD_TRUTH, imlist=OXFORD_DATABASE, qimlist=OXFORD_QUERIES)},
)
MARKET = Miniature(
    "Market-1501-v15.09.15",
    [
        *(f"bounding_box_train/{name}_00.jpg" for name in ("0002_c1s1_000451", "0002_c2s1_000776", "0007_c3s3_077419")),
        *(f"query/{name}_00.jpg" for name in ("0001_c1s1_001051", "0001_c2s1_000301", "0003_c1s6_015971")),
        *(
            f"bounding_box_test/{name}_01.jpg"
            for name in ("-1_c1s1_000401", "0000_c1s1_000151", "0001_c1s1_001051", "0001_c1s2_037091", "0001_c4s6_01")
        ),
        "bounding_box_test/0003_c1s6_015996_04.jpg",
        "images/0000_c1s1_000001_00.jpg",
    ],
    {"bounding_box_test/Thumbs.db": b"", "gt_bbox/0001_c1s1_001051_00.jpg": b""},
)
DUKE = Miniature(
    "DukeMTMC-reID",
    [
        *("bounding_box_train/0001_c2_f0046182.jpg", "bounding_box_train/0003_c5_f0046302.jpg"),
        *("query/0005_c2_f0046985.jpg", "bounding_box_test/0005_c5_f0051341.jpg", "bounding_box_test/0006_c2_f1.jpg"),
    ],
)
VERI = Miniature(
    "VeRi",
    [
        *("image_train/0001_c001_00016450_0.jpg", "image_train/0003_c002_00016460_0.jpg"),
        *("image_query/0002_c002_00030600_0.jpg", "image_test/0002_c002_00030600_0.jpg"),
        *("image_test/0002_c004_00084250_0.jpg", "image_test/0005_c003_00077625_0.jpg"),
    ],
)
MSMT_TRAIN = [f"000{n}/000{n}_00{n}_0{n + 1}_0303morning_0015_{n}.jpg" for n in range(3)]
MSMT_TEST = [f"0000/0000_00{n}_{camera}_0303noon_0008_0.jpg" for n, camera in enumerate(("01", "01", "14"))]
MSMT = Miniature(
    "MSMT17_V1",
    [*(f"train/{name}" for name in MSMT_TRAIN), *(f"test/{name}" for name in MSMT_TEST), "test/0001/0001_0_02_a_0.jpg"],
    {
        "list_train.txt": text(f"{MSMT_TRAIN[0]} 0", f"{MSMT_TRAIN[1]} 1"),
        "list_val.txt": text(f"{MSMT_TRAIN[2]} 1"),
        "list_query.txt": text(f"{MSMT_TEST[0]} 0"),
        "list_gallery.txt": text(f"{MSMT_TEST[1]} 0", f"{MSMT_TEST[2]} 0", "0001/0001_0_02_a_0.jpg 1"),
    },
)

GLDV2 = Miniature(
    "gldv2",
    [
        *("index/a/b/c/abc0.jpg", "index/a/b/d/abd0.jpg", "index/0/0/f/00f1.jpg"),
        *("test/1/2/3/1234.jpg", "test/1/2/4/1240.jpg", "test/f/f/f/fff0.jpg"),
    ],
    {
        "index.csv": text("id", "abc0", "abd0", "00f1"),
        "retrieval_solution_v2.1.csv": text(
            *("id,images,Usage", "1234,abd0 abc0,Private", "1240,00f1,Public", "fff0,abc0,Private", "eee0,None,Ignored")
        ),
    },
)
DISC = Miniature(
    "DISC21",
    [
        *(f"images/references/R00000{n}.jpg" for n in range(3)),
        *(f"images/queries/Q0000{n}.jpg" for n in range(4)),
        "images/train/T000000.jpg",
    ],
    {"public_ground_truth.csv": text("query_id,reference_id", "Q00000,R000002", "Q00001,", "Q00003,R000000")},
)
