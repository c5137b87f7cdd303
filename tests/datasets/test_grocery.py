"""Grocery loads from upstream's layout, with a shop's photographs and a catalogue's pictures as parts of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from bench.contract import Collection, DataError, DataPlace
from bench.data.splits.protocols import build_dataset, obstacles
from bench.registry import get_dataset

Zipped = Callable[[Path, Mapping[str, bytes]], bytes]
TarGz = Callable[[Path, Mapping[str, bytes]], bytes]
Png = Callable[[int], bytes]
COMMIT = "fc80ba90f803d79d0383df52c5a4ac5de99ff6fc"
PRODUCTS = {  # path below a part: name, number, kind, the kind's number, the shade of its pictures
    "Fruit/Apple/Granny-Smith": ("Granny-Smith", 0, "Apple", 0, 10),
    "Fruit/Apple/Royal-Gala": ("Royal-Gala", 1, "Apple", 0, 60),
    "Fruit/Lemon": ("Lemon", 2, "Lemon", 1, 110),
    "Packages/Milk/Arla/Arla-Standard-Milk": ("Arla-Standard-Milk", 3, "Milk", 2, 160),
}
COUNTS = {"train": 3, "val": 1, "test": 2}  # of each product
SHADES = {name: shade for name, _, _, _, shade in PRODUCTS.values()}
HEAD = (
    "Class Name (str),Class ID (int),Coarse Class Name (str),Coarse Class ID (int),Iconic Image Path (str),"
    "Product Description Path (str)"
)


def miniature(png: Png) -> dict[str, bytes]:
    """Four products in upstream's layout, with what lies beside the pictures there."""
    members = {"LICENSE": b"MIT License", "README.md": b"# Grocery", "sample_images/natural/Lemon.jpg": png(255)}
    rows = [HEAD]
    for inner, (name, number, kind, group, shade) in PRODUCTS.items():
        home = f"iconic-images-and-descriptions/{inner}/{name}"
        rows.append(f"{name},{number},{kind},{group},/{home}_Iconic.jpg,/{home}_Description.txt")
        members[f"dataset/{home}_Iconic.jpg"] = png(shade + 5)
        members[f"dataset/{home}_Description.txt"] = b"Sour."
    members["dataset/classes.csv"] = "\n".join(rows).encode()
    for part, count in COUNTS.items():
        lines = []
        for inner, (name, number, _, group, shade) in PRODUCTS.items():
            for n in range(count if part != "val" or number < 2 else 0):  # upstream's has no picture of some products
                lines.append(f"{part}/{inner}/{name}_{n:03}.jpg, {number}, {group}")
                members[f"dataset/{part}/{inner}/{name}_{n:03}.jpg"] = png(shade)
        members[f"dataset/{part}.txt"] = "\n".join(lines).encode() + b"\n"
    return members


def put(root: Path, members: Mapping[str, bytes]) -> None:
    for name, content in members.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def grocery(place: DataPlace, **options: Any) -> Collection:
    loader: Any = get_dataset("grocery")(**options)
    loaded: Collection = loader.load(place)
    return loaded


@pytest.fixture
def collection(place: DataPlace, png: Png, tmp_path: Path) -> Collection:
    put(tmp_path / "root" / "grocery", miniature(png))
    return grocery(place)


@pytest.mark.parametrize(
    "where",
    [
        "root/GroceryStoreDataset",
        "root",  # the data root is a clone itself
        "root/grocery-store.tar",
        "root/GroceryStoreDataset-master.zip",
        f"root/GroceryStoreDataset-{COMMIT}",
        f"cache/grocery/GroceryStoreDataset-{COMMIT}.tar.gz",
    ],
)
def test_a_copy_is_found_as_clone_and_as_archive(  # noqa: PLR0917 - fixtures
    place: DataPlace, png: Png, zipped: Zipped, tar_gz: TarGz, tmp_path: Path, where: str
) -> None:
    members, target = miniature(png), tmp_path / where
    if target.suffix in (".gz", ".zip", ".tar"):  # GitHub's have a folder above all, the small copy has none
        top = "" if target.suffix == ".tar" else f"GroceryStoreDataset-{COMMIT}/"
        write = zipped if target.suffix == ".zip" else tar_gz
        write(target, {f"{top}{name}": content for name, content in members.items()})
    else:
        put(target, members)
    loaded = grocery(place)
    counts = {"train": 12, "validation": 2, "test": 8, "query": 8, "gallery": 4}
    assert {name: len(part) for name, part in loaded.parts().items()} == counts
    assert (loaded.name, loaded.mirror) == ("grocery", True)


def test_photographs_and_iconic_pictures_bear_their_products_label_and_path(collection: Collection) -> None:
    assert collection.classes == ("Arla-Standard-Milk", "Granny-Smith", "Lemon", "Royal-Gala")
    for name, part in collection.parts().items():
        shades = [SHADES[collection.classes[label]] + (5 if name == "gallery" else 0) for label in part.labels]
        assert part.images.take(slice(None))[:, 0, 0, 0].tolist() == shades
    assert collection.train.ids[0] == "train/Fruit/Apple/Granny-Smith/Granny-Smith_000.jpg"
    assert collection.test is not None
    assert collection.query is not None
    assert collection.gallery is not None
    assert collection.query.ids.tolist() == collection.test.ids.tolist()
    assert collection.gallery.ids[2] == "iconic-images-and-descriptions/Fruit/Lemon/Lemon_Iconic.jpg"


def test_coarse_labels_put_the_products_of_a_kind_together(place: DataPlace, png: Png, tmp_path: Path) -> None:
    put(tmp_path / "root" / "grocery", miniature(png))
    coarse = grocery(place, labels="coarse")
    assert (coarse.name, coarse.classes) == ("grocery-coarse", ("Apple", "Lemon", "Milk"))
    assert coarse.gallery is not None
    assert coarse.gallery.labels.tolist() == [0, 0, 1, 2]
    assert coarse.train.labels.tolist() == [0] * 6 + [1] * 3 + [2] * 3


@pytest.mark.parametrize(
    ("protocol", "queries", "gallery"),
    [
        ("auto", 8, 4),
        ("given", 8, 4),
        ("loo", 8, 8),
        ("holdout", 4, 4),
        ("database", 8, 12),
        ("unseen", 2, 2),
        ("unseen_loo", 12, 12),
    ],
)
def test_every_protocol_cuts_it_and_auto_asks_the_iconic_pictures(
    collection: Collection, protocol: str, queries: int, gallery: int
) -> None:
    assert not any(obstacles(collection).values())
    dataset = build_dataset(collection, protocol)
    assert (len(dataset.query), len(dataset.gallery)) == (queries, gallery)
    iconic = [one.startswith("iconic") for one in dataset.gallery.ids.tolist()]
    assert all(iconic) if protocol in ("auto", "given") else not any(iconic)
    learnt = {*dataset.train.ids.tolist(), *dataset.validation.ids.tolist()}
    assert not learnt & set(dataset.query.ids.tolist())


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("test.txt", b"test/Fruit/Lemon/Lemon_009.jpg, 2, 1\n", r"test\.txt: line 1: no such picture .*Lemon_009\.jpg"),
        ("test.txt", b"../grocery/dataset/test/a.jpg, 2, 1\n", r"test\.txt: line 1: no such picture"),
        ("val.txt", b"val/Fruit/Lemon/Lemon_000.jpg, 81, 1\n", r"val\.txt: line 1: not a path, the number"),
        ("classes.csv", b"name,number\nLemon,2\n", r"classes\.csv: line 1: no column 'Class Name \(str\)'"),
    ],
)
def test_a_list_that_is_not_upstreams_is_refused_with_its_line(  # noqa: PLR0917 - fixtures
    place: DataPlace, png: Png, tmp_path: Path, file: str, content: bytes, words: str
) -> None:
    put(tmp_path / "root" / "grocery", miniature(png) | {f"dataset/{file}": content})
    with pytest.raises(DataError, match=words):
        grocery(place)


def test_pictures_without_the_lists_are_told(place: DataPlace, png: Png, tmp_path: Path) -> None:
    put(tmp_path / "root" / "grocery", {"iconic-images-and-descriptions/Fruit/Lemon/Lemon_Iconic.jpg": png(1)})
    with pytest.raises(DataError, match=r"grocery: lacks dataset/classes\.csv"):
        grocery(place)


def test_without_copy_and_network_it_says_what_to_do(place: DataPlace) -> None:
    with pytest.raises(DataError, match=r"grocery: not found under .*simbench fetch grocery.*--data-root") as caught:
        grocery(place)
    assert "\n" not in str(caught.value)
