"""A user's folder, CSV file and JSON files become collections with the right pixels, labels and ids."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.contract import Collection, DataError, DataPlace, ImageShape, Loader, Resize, Split, UsageError
from bench.data.layouts.locate import loader_for_path
from bench.data.splits.protocols import build_dataset
from bench.options import build
from bench.registry import get_dataset

SHADES = {"cat": 50, "dog": 150, "eel": 250}


def paint(path: Path, shade: int, size: tuple[int, int] = (8, 8)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, shade).save(path)
    return path


def load(path: Path, place: DataPlace, **options: Any) -> Collection:
    """Load as the command line does: from a path to a plugin, its options and its collection."""
    name, found = loader_for_path(str(path))
    loader = build(get_dataset(name), found | options, owner=name)
    assert isinstance(loader, Loader)
    return loader.load(place)


def assert_shades_tell_labels(collection: Collection) -> None:
    """Each image shows the shade of the class that its label says."""
    for part in collection.parts().values():
        shades = part.images.take(slice(None))[:, 0, 0, 0]
        assert [SHADES[collection.classes[label]] for label in part.labels] == shades.tolist()


def ids(part: Split | None) -> list[str]:
    assert part is not None
    return [str(one) for one in part.ids]


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    for name, shade in SHADES.items():
        for number in range(10):
            paint(tmp_path / "My Pets" / name / f"{name} {number}.png", shade)
    return tmp_path / "My Pets"


def test_a_folder_of_classes_is_cut_and_can_be_searched(pets: Path, place: DataPlace) -> None:
    collection = load(pets, place)
    assert collection.name == "my-pets"
    assert collection.classes == ("cat", "dog", "eel")
    assert collection.mirror
    assert collection.train.images.shape == ImageShape(8, 8, 1)
    assert (len(collection.train), len(ids(collection.test))) == (21, 9)
    assert_shades_tell_labels(collection)
    data = build_dataset(collection)
    assert (data.protocol.name, len(data.query), len(data.gallery)) == ("holdout", 3, 6)


def test_options_come_as_words_from_the_command_line(pets: Path, place: DataPlace) -> None:
    collection = load(pets, place, resize="pad", test_fraction="0.5", split_seed="3", mirror="no")
    assert collection.train.images.at((16, 16)).files.resize == Resize(16, 16, "pad")  # type: ignore[union-attr] # files
    assert len(collection.train) == 15
    assert not collection.mirror
    with pytest.raises(UsageError, match="resize"):
        load(pets, place, resize="squeeze")


def test_a_broken_file_is_named_and_can_be_left_out(
    pets: Path, place: DataPlace, caplog: pytest.LogCaptureFixture
) -> None:
    (pets / "dog" / "dog 3.png").write_text("not a dog")
    with pytest.raises(DataError, match=r"1 of 30 image files cannot be read: .*dog 3\.png \(not an image"):
        load(pets, place)
    collection = load(pets, replace(place, broken="any"))
    assert sum(map(len, collection.parts().values())) == 29
    assert_shades_tell_labels(collection)
    assert "dog 3.png" in caplog.text
    assert collection.notes == (
        "1 of 30 image files left out, as they cannot be read: dog/dog 3.png (not an image of a known format)",
    )


def test_if_the_broken_files_take_a_class_from_train_it_is_an_error(tmp_path: Path, place: DataPlace) -> None:
    for part in ("train", "test"):
        for name, shade in SHADES.items():
            paint(tmp_path / "pets" / part / name / "1.png", shade)
    (tmp_path / "pets" / "train" / "eel" / "1.png").write_text("not an eel")
    with pytest.raises(DataError, match="classes in the test part that are not in train: eel"):
        load(tmp_path / "pets", replace(place, broken="any"))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A manifest in which one image is query and gallery."""
    lines = ["path,label,split,is_query,is_gallery"]
    for name, shade in SHADES.items():
        for number, ending in enumerate(["train,,", "train,,", "test,1,0", "test,1,1", "test,0,1"]):
            path = paint(tmp_path / "table" / "images" / f"{name}{number}.png", shade)
            lines.append(f"images/{path.name},{name},{ending}")
    (tmp_path / "table" / "all.csv").write_text("\n".join(lines))
    return tmp_path / "table" / "all.csv"


def test_a_csv_manifest_gives_its_own_query_and_gallery(table: Path, place: DataPlace) -> None:
    collection = load(table, place)
    assert collection.name == "table-all"
    assert_shades_tell_labels(collection)
    assert set(ids(collection.query)) & set(ids(collection.gallery)) == {f"images/{name}3.png" for name in SHADES}
    assert collection.query is not None
    assert collection.query.images.pixels is collection.train.images.pixels  # each file is decoded once
    assert len(collection.train.images.pixels) == 15
    data = build_dataset(collection)
    assert data.protocol.name == "given"
    assert (len(data.query), len(data.gallery)) == (6, 6)
    assert len(build_dataset(collection, "loo").query) == 9


def test_the_json_layout_gives_its_own_query_and_gallery(tmp_path: Path, place: DataPlace) -> None:
    root = tmp_path / "shop"
    train, test = {}, {}
    for name, shade in SHADES.items():
        train[paint(root / "train" / f"{name}.png", shade).name] = name
        test[paint(root / "query_images" / f"q {name}.png", shade).name] = name
        test[paint(root / "gallery" / f"g {name}.png", shade).name] = name
    (root / "train_image_info.json").write_text(json.dumps(train))
    (root / "test_image_info.json").write_text(json.dumps([{"image": k, "label": v} for k, v in test.items()]))
    collection = load(root, place)
    assert_shades_tell_labels(collection)
    assert ids(collection.query) == [f"query_images/q {name}.png" for name in SHADES]
    assert collection.test is None
    assert build_dataset(collection).protocol.name == "given"


def test_ids_can_be_stored_as_utf8(tmp_path: Path, place: DataPlace) -> None:
    for name in ("chat", "собака"):
        for number in range(4):
            paint(tmp_path / "mixed" / name / f"été {number}.png", 9)
    collection = load(tmp_path / "mixed", place)
    assert all(one.encode("utf-8") for part in collection.parts().values() for one in ids(part))
    assert np.array(collection.classes).tolist() == ["chat", "собака"]


def test_without_a_path_the_error_says_how_to_give_it(place: DataPlace) -> None:
    for name in ("folder", "manifest"):
        loader: Any = get_dataset(name)()
        with pytest.raises(UsageError, match="own data needs a path"):
            loader.load(place)
