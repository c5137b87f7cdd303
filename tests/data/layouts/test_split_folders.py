"""Folders that are named like parts of a data set are its parts or refused, never its classes in silence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from bench.contract import DataError, DataPlace
from bench.data.decoding.decode import DecodeRecipe
from bench.data.layouts.folder import list_folder
from bench.data.layouts.listing import collect
from bench.data.layouts.split_folders import part_of_name
from bench.data.splits.protocols import build_dataset

Paint = Callable[..., Path]


def fill(paint: Paint, root: Path, *names: str, images: int = 2) -> Path:
    for name in names:
        for number in range(images):
            paint(root / name / f"{number}.png")
    return root


@pytest.mark.parametrize(
    ("names", "part"),
    [
        (
            ["train", "Training", "training_set", "TrainSet", "train_images", "images-train", "01_train", "train2014"],
            "train",
        ),
        (["bounding_box_train", "image_train", "train_all", "Training Data"], "train"),
        (["val", "valid", "dev", "devel", "validation_set", "val2017"], "validation"),
        (["test", "testing", "Test Set", "eval", "evaluation", "holdout", "test1"], "test"),
        (["query", "queries", "query_images", "image_query", "probe"], "query"),
        (["gallery", "gallery_images", "bounding_box_test", "image_test", "database"], "gallery"),
    ],
)
def test_a_parts_folder_is_known_by_many_names(names: list[str], part: str) -> None:
    assert {name: part_of_name(name) for name in names} == dict.fromkeys(names, part)


@pytest.mark.parametrize(
    "name",
    [
        "trains",
        "cat",
        "tester",
        "contest",
        "invalid",
        "values",
        "trainers",
        "art_gallery",
        "devil",
        "index",
        "7",
        "été",
    ],
)
def test_a_word_that_only_resembles_one_is_a_class(name: str) -> None:
    assert part_of_name(name) is None


@pytest.mark.parametrize(
    ("folders", "parts"),
    [
        (("train", "query", "gallery"), {"train": "train", "query": "query", "gallery": "gallery"}),
        (("training", "testing"), {"train": "training", "test": "testing"}),
        (("train", "eval"), {"train": "train", "test": "eval"}),
        (("train", "dev"), {"train": "train", "test": "dev"}),  # nothing else to test on
        (("train", "dev", "evaluation"), {"train": "train", "validation": "dev", "test": "evaluation"}),
        (
            ("bounding_box_train", "query", "bounding_box_test"),
            {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"},
        ),
        (
            ("train", "val", "query", "gallery"),
            {"train": "train", "validation": "val", "query": "query", "gallery": "gallery"},
        ),
    ],
)
def test_folders_with_one_meaning_are_the_parts(
    tmp_path: Path, paint: Paint, folders: tuple[str, ...], parts: dict[str, str]
) -> None:
    fill(paint, tmp_path, *(f"{folder}/{name}" for folder in folders for name in "ab"))
    listing = list_folder(tmp_path)
    assert listing.classes == ("a", "b")
    ids = {part: [f"{folder}/{name}/{n}.png" for name in "ab" for n in (0, 1)] for part, folder in parts.items()}
    for part, expected in ids.items():
        others = set(ids["gallery"]) if part == "query" else set()
        # equal pictures: a query that lies in the gallery too is there under the gallery's id
        assert len(listing.parts[part]) == len(expected)
        assert set(listing.parts[part].ids) <= set(expected) | others
    assert set(listing.parts) == set(parts)


def test_query_and_gallery_folders_are_asked_as_they_are(tmp_path: Path, place: DataPlace) -> None:
    shades = {"train": (0, 1), "query": (2,), "gallery": (3, 4, 5)}
    for part, numbers in shades.items():
        for label in (0, 1):
            for number in numbers:
                path = tmp_path / part / str(label) / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("L", (8, 8), 40 * number + 9 * label).save(path)
    (tmp_path / "gallery" / "0" / "2.png").write_bytes((tmp_path / "query" / "0" / "2.png").read_bytes())
    data = build_dataset(collect(list_folder(tmp_path), place, DecodeRecipe(), mirror=False))
    assert data.protocol.name == "given"
    assert data.query.ids.tolist() == ["gallery/0/2.png", "query/1/2.png"]  # the first lies in the gallery, the same
    assert data.gallery.ids.tolist() == [f"gallery/0/{n}.png" for n in (2, 3, 4, 5)] + [
        f"gallery/1/{n}.png" for n in (3, 4, 5)
    ]
    assert data.query.images.take(slice(None))[:, 0, 0, 0].tolist() == [80, 89]


@pytest.mark.parametrize(
    ("folders", "reason"),
    [
        (("ok", "nok", "test/ok", "test/nok"), r"test/ holds folders that stand beside it too \(nok, ok\); put those "),
        (("ok", "nok", "train/ok", "train/nok"), r"train/ holds folders .* put those beside it into test/"),
        (("train/a", "train/b", "test/a", "test/b", "a"), "(train|test)/ holds folders that stand beside it too"),
        (("a", "b", "test"), "test/ beside a/, b/: a part of the data by its name, or a class"),  # unlabelled pictures
        (("a", "b", "train/x", "train/y"), "train/ beside a/, b/: a part of the data by its name, or a class"),
        (("train/a", "train/b", "extra"), "train/ beside extra/: a part"),
        (
            ("train/a", "train/b", "query/a"),
            "train/ and query/, but no gallery/, and query/ needs it|query/ and train/",
        ),
        (
            ("train/a", "train/b", "query/a", "test/a"),
            "but no gallery/, and query/ needs it; rename test/ if it is that",
        ),
        (("train/a", "train_all/a", "test/a"), "train/ and train_all/ are both the train part by their names"),
        (("train_1/a", "train_2/a"), "train_1/ and train_2/ are both the train part"),
        (("trainA", "trainB", "testA"), "trainA/ and trainB/ are both the train part"),
        (
            ("fold1/a", "fold1/b", "fold2/a"),
            "fold1/, fold2/ are folds, not classes; name the images and their classes in",
        ),
        (("images", "masks"), "masks/ is about the images beside it, and neither is a class; name the images"),
        (("query/a", "query/b"), "only query/ in it; add gallery/ beside it"),
        (
            ("bag/train", "bag/test", "hat/train", "hat/test"),
            "bag/ holds test/ and train/; put them above it, as test/bag/",
        ),
        (("pets/train/a", "pets/test/a"), "pets/ holds test/ and train/; give .*pets itself"),
        (("train/a", "train/b", "test/query", "test/gallery"), "gallery/ in it is named like a part, inside of a part"),
        (("train/train/a", "train/train/b", "test/test/a"), "test/ in it is named like a part, inside of a part"),
        (
            ("bounding_box_train", "bounding_box_test", "query"),
            "2 images lie directly in it, .* or name their classes in",
        ),
    ],
)
def test_folders_with_two_meanings_are_refused_with_what_is_right(
    tmp_path: Path, paint: Paint, folders: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(DataError, match=reason) as caught:
        list_folder(fill(paint, tmp_path, *folders))
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "folders",
    [
        ("bus", "car", "train"),
        ("bus/day", "bus/night", "train/day", "train/night"),
        ("train/bus", "train/train", "test/bus", "test/train"),
    ],
)
def test_a_class_called_train_stays_one(tmp_path: Path, paint: Paint, folders: tuple[str, ...]) -> None:
    classes = list_folder(fill(paint, tmp_path, *folders)).classes
    assert classes[-1] == "train"
    assert "bus" in classes


def test_pictures_beside_the_parts_are_counted_as_left_out(tmp_path: Path, paint: Paint) -> None:
    fill(paint, tmp_path, "train/a", "train/b", "test/a", "test/b", "unlabelled")
    (tmp_path / "README").touch()
    assert list_folder(tmp_path).left_out == {".png": 2, "no suffix": 1}
