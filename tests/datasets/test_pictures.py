"""Cats and dogs, snacks and clothing load from every layout they are handed around in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from bench.contract import Collection, DataError, DataPlace
from bench.naming import canonical
from bench.registry import get_dataset

Zipped = Callable[[Path, Mapping[str, bytes]], bytes]
Png = Callable[[int], bytes]
SHADES = {"cat": 50, "dog": 200}


def assert_shades(collection: Collection, shades: Mapping[str, int]) -> None:
    for part in collection.parts().values():
        found = part.images.take(slice(None))[:, 0, 0, 0]
        assert [shades[collection.classes[label]] for label in part.labels] == found.tolist()


def kaggle_sets(png: Png) -> dict[str, bytes]:
    """training_set and test_set, once more inside themselves, as Kaggle unpacks them."""
    members = {"test_set/test_set/_DS_Store": b"junk"}
    for part, count in (("training_set", 4), ("test_set", 2)):
        for name, shade in SHADES.items():
            for number in range(count):
                members[f"{part}/{part}/{name}s/{name}.{number}.jpg"] = png(shade)
    return members


def petimages(png: Png) -> dict[str, bytes]:
    return {f"PetImages/{name.title()}/{n}.jpg": png(shade) for name, shade in SHADES.items() for n in range(10)} | {
        "PetImages/Cat/Thumbs.db": b"junk"
    }


def flat(png: Png) -> dict[str, bytes]:
    return {f"train/{name}.{n}.jpg": png(shade) for name, shade in SHADES.items() for n in range(10)} | {
        f"test1/{n}.jpg": png(9) for n in range(5)
    }


def put(root: Path, members: Mapping[str, bytes]) -> None:
    for name, content in members.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def cats_dogs(place: DataPlace, **options: Any) -> Any:
    return get_dataset("cats-dogs")(**options).load(place)


@pytest.mark.parametrize(
    ("layout", "sizes"), [(kaggle_sets, (8, 4)), (petimages, (14, 6)), (flat, (14, 6))], ids=lambda one: str(one)[:20]
)
@pytest.mark.parametrize("where", ["root", "root/cats-dogs", "root/archive.zip", "cache/archive.zip"])
def test_every_layout_is_read_as_folder_and_as_archive(  # noqa: PLR0917 - what it is crossed over
    place: DataPlace, zipped: Zipped, png: Png, tmp_path: Path, layout: Any, sizes: tuple[int, int], where: str
) -> None:
    if where.endswith(".zip"):
        zipped(tmp_path / where, layout(png))
    else:
        put(tmp_path / where, layout(png))
    collection = cats_dogs(place)
    assert (collection.name, collection.classes, collection.mirror) == ("cats-dogs", ("cat", "dog"), True)
    assert (len(collection.train), len(collection.test)) == sizes
    assert_shades(collection, SHADES)


def test_other_data_sets_under_the_data_root_are_left_alone(place: DataPlace, png: Png, tmp_path: Path) -> None:
    put(
        tmp_path / "root" / "cifar10-jpeg",
        {f"{p}/{c}/0.png": png(3) for p in ("train", "test") for c in ("cat", "dog")},
    )
    put(tmp_path / "root", {f"cat.{n}.jpg": png(50) for n in range(4)} | {f"dog.{n}.jpg": png(200) for n in range(4)})
    assert_shades(cats_dogs(place), SHADES)
    assert len(cats_dogs(place, path=str(tmp_path / "root" / "cifar10-jpeg")).train) == 2


def test_an_archive_zip_of_something_else_is_not_taken(
    place: DataPlace, zipped: Zipped, png: Png, tmp_path: Path
) -> None:
    zipped(tmp_path / "root" / "archive.zip", {"birds/1.jpg": png(1)})
    with pytest.raises(DataError, match=r"cats-dogs: not found under .*kaggle\.com.*--data-root") as caught:
        cats_dogs(place)
    assert "\n" not in str(caught.value)


def test_an_archive_that_would_write_elsewhere_is_refused(
    place: DataPlace, zipped: Zipped, png: Png, tmp_path: Path
) -> None:
    zipped(tmp_path / "root" / "archive.zip", {**kaggle_sets(png), "../cats/evil.jpg": png(1)})
    with pytest.raises(DataError, match="would be written outside"):
        cats_dogs(place)
    assert not list(tmp_path.rglob("evil*"))


CLASSES = (
    *("apple", "banana", "cake", "candy", "carrot", "cookie", "doughnut", "grape", "hot dog", "ice cream"),
    *("juice", "muffin", "orange", "pineapple", "popcorn", "pretzel", "salad", "strawberry", "waffle", "watermelon"),
)
SNACKS = {name: 10 * number + 5 for number, name in enumerate(CLASSES)}


def snacks_files(png: Png, top: str = "data/") -> dict[str, bytes]:
    sizes = {"train": 3, "val": 1, "test": 2}
    return {
        f"{top}{part}/{name}/{n}.jpg": png(shade)
        for part, count in sizes.items()
        for name, shade in SNACKS.items()
        for n in range(count)
    }


@pytest.mark.parametrize("where", ["root/snacks", "root/Matthijs/snacks", "root/images.zip", "cache/snacks/images.zip"])
def test_snacks_has_its_three_parts_and_twenty_classes(
    place: DataPlace, zipped: Zipped, png: Png, tmp_path: Path, where: str
) -> None:
    if where.endswith(".zip"):
        zipped(tmp_path / where, snacks_files(png))
    else:
        put(tmp_path / where, snacks_files(png, ""))
    loader: Any = get_dataset("snacks")()
    collection = loader.load(place)
    assert {name: len(part) for name, part in collection.parts().items()} == {"train": 60, "validation": 20, "test": 40}
    assert list(collection.classes) == list(SNACKS)
    assert collection.mirror
    assert_shades(collection, SNACKS)


def test_snacks_without_copy_and_network_says_what_to_do(place: DataPlace) -> None:
    loader: Any = get_dataset("snacks")()
    with pytest.raises(DataError, match=r"Matthijs/snacks: no copy .*simbench fetch snacks.*--data-root") as caught:
        loader.load(place)
    assert "\n" not in str(caught.value)


CLOTHES = {
    name: 10 * number + 5
    for number, name in enumerate(
        ("dress", "hat", "longsleeve", "outwear", "pants", "shirt", "shoes", "shorts", "skirt", "t-shirt")
    )
}
COMMIT = "11961516512414bf9f6c150a832cfd21b54a6b54"


@pytest.mark.parametrize(
    "where",
    [
        "root/clothing-dataset-small",
        "root/clothing-dataset-small-master.zip",
        f"cache/clothing/clothing-dataset-small-{COMMIT}.tar.gz",
    ],
)
def test_clothing_has_its_three_parts_and_ten_classes(  # noqa: PLR0917 - fixtures
    place: DataPlace, zipped: Zipped, tar_gz: Zipped, png: Png, tmp_path: Path, where: str
) -> None:
    sizes = {"train": 3, "validation": 1, "test": 2}
    members = {
        f"{part}/{name}/{n}-4bfd-4181.jpg": png(shade)
        for part, count in sizes.items()
        for name, shade in CLOTHES.items()
        for n in range(count)
    } | {"LICENSE": b"CC0", "README.md": b"## Clothing dataset (subset)"}
    target = tmp_path / where
    if target.suffix in (".zip", ".gz"):
        write = zipped if target.suffix == ".zip" else tar_gz
        write(target, {f"clothing-dataset-small-{COMMIT}/{name}": one for name, one in members.items()})
    else:
        put(target, members)
    loader: Any = get_dataset("clothing")()
    collection = loader.load(place)
    assert {name: len(part) for name, part in collection.parts().items()} == {"train": 30, "validation": 10, "test": 20}
    assert (collection.name, list(collection.classes), collection.mirror) == ("clothing", list(CLOTHES), True)
    assert_shades(collection, CLOTHES)


def test_clothing_without_copy_and_network_says_what_to_do(place: DataPlace) -> None:
    loader: Any = get_dataset("clothing")()
    with pytest.raises(DataError, match=r"clothing: not found under .*simbench fetch clothing.*--data-root"):
        loader.load(place)


def test_the_command_lines_spelling_is_the_files() -> None:
    assert canonical("cats-dogs") == "cats_dogs"
