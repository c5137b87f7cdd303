"""The layout with train/, query_images/, gallery/ and two JSON files is read, in all the forms its JSON takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.contract import DataError
from bench.data.layouts.manifest import list_manifest

Paint = Callable[..., Path]
TRAIN = {"image1.png": "cat", "image2.png": "dog"}
TEST = {"query1.png": "cat", "gallery1.png": "cat", "gallery2.png": "dog"}


@pytest.fixture
def root(tmp_path: Path, paint: Paint) -> Path:
    for number, path in enumerate(
        ["train/image1", "train/image2", "query_images/query1", "gallery/gallery1", "gallery/gallery2"]
    ):
        paint(tmp_path / "shop" / f"{path}.png", (number, 0, 0))
    describe(tmp_path / "shop", TRAIN, TEST)
    return tmp_path / "shop"


def describe(root: Path, train: object, test: object) -> None:
    (root / "train_image_info.json").write_text(json.dumps(train))
    (root / "test_image_info.json").write_text(json.dumps(test))


def records(labels: dict[str, str], key: str) -> list[dict[str, str]]:
    return [{key: name, "label": label, "comment": "none"} for name, label in labels.items()]


def prefixed(labels: dict[str, str], **folders: str) -> dict[str, str]:
    return {f"{folders[name.rstrip('0123456789.png')]}/{name}": label for name, label in labels.items()}


@pytest.mark.parametrize(
    ("train", "test"),
    [
        (TRAIN, TEST),
        (records(TRAIN, "filename"), records(TEST, "filename")),
        (records(TRAIN, "image"), records(TEST, "path")),
        (prefixed(TRAIN, image="train"), prefixed(TEST, query="query_images", gallery="gallery")),
    ],
    ids=["mapping", "records", "records with other keys", "paths from the root"],
)
def test_every_form_gives_the_same_parts(root: Path, train: object, test: object) -> None:
    describe(root, train, test)
    listing = list_manifest(root, root)
    assert listing.name == "shop"
    assert {name: (part.ids, part.labels) for name, part in listing.parts.items()} == {
        "train": (("train/image1.png", "train/image2.png"), ("cat", "dog")),
        "query": (("query_images/query1.png",), ("cat",)),
        "gallery": (("gallery/gallery1.png", "gallery/gallery2.png"), ("cat", "dog")),
    }
    assert list_manifest(root / "train_image_info.json", root) == listing


def test_labels_may_be_whole_numbers(root: Path) -> None:
    describe(root, {"image1.png": 2, "image2.png": 10}, {"query1.png": 2, "gallery1.png": "2", "gallery2.png": 10})
    assert list_manifest(root, root).classes == ("2", "10")


def test_an_image_in_both_folders_has_one_id_if_it_is_the_same_image(root: Path, paint: Paint) -> None:
    for folder, colour in (("query_images", (9, 9, 9)), ("gallery", (9, 9, 9))):
        paint(root / folder / "same.png", colour)
    for folder, colour in (("query_images", (1, 1, 1)), ("gallery", (2, 2, 2))):
        paint(root / folder / "other.png", colour)
    describe(root, TRAIN, TEST | {"same.png": "dog", "other.png": "dog"})
    parts = list_manifest(root, root).parts
    assert set(parts["query"].ids) & set(parts["gallery"].ids) == {"gallery/same.png"}
    assert "query_images/other.png" in parts["query"].ids
    assert "gallery/other.png" in parts["gallery"].ids


def test_images_that_no_json_file_names_are_counted(root: Path, paint: Paint) -> None:
    paint(root / "train" / "unnamed.png")
    assert list_manifest(root, root).left_out == {".png": 1}


def test_keys_that_nothing_reads_are_told(root: Path) -> None:
    assert list_manifest(root, root).warnings == ()
    describe(root, records(TRAIN, "path"), TEST)
    assert list_manifest(root, root).warnings == ("keys that nothing reads: comment",)


def test_names_and_labels_are_stripped_and_the_same_in_any_normal_form(root: Path, paint: Paint) -> None:
    paint(root / "train" / "caf\u00e9.png")
    describe(root, TRAIN | {" cafe\u0301.png": "cat "}, TEST)
    listing = list_manifest(root, root)
    assert listing.classes == ("cat", "dog")
    assert "train/caf\u00e9.png" in listing.parts["train"].ids


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000, r"no list of images \(maximum recursion depth"),
        ('{"image1.png": ' + "9" * 10_000 + "}", r"no list of images \(Exceeds the limit"),
        ('{"image1.png": ' + "[" * 500 + "]" * 500 + "}", "the label of 'image1.png' is a list or mapping; it must be"),
        (json.dumps({"x" * 5000: "cat"}), "1 of its images are not in train/"),
        (json.dumps({"image1\0.png": "cat"}), "is no file name"),
        (json.dumps({"image1.png": " "}), "the label of 'image1.png' is ' '; it must be a text"),
        (json.dumps({"": "cat"}), "'' is no file name"),
    ],
)
def test_json_that_is_deep_or_long_is_refused_in_one_line(root: Path, text: str, reason: str) -> None:
    (root / "train_image_info.json").write_text(text)
    with pytest.raises(DataError, match=reason) as caught:
        list_manifest(root, root)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("train", "test", "reason"),
    [
        (
            TRAIN | {"image9.png": "cat"},
            TEST,
            r"train_image_info\.json: 1 of its images are not in train/: image9\.png",
        ),
        (TRAIN, TEST | {"x.png": "cat"}, r"test_image_info\.json: .* not in query_images/ or gallery/: x\.png"),
        (TRAIN | {"image1.png": None}, TEST, r"the label of 'image1\.png' is None; it must be a text or a whole"),
        (TRAIN | {"image1.png": 1.5}, TEST, r"the label of 'image1\.png' is 1\.5"),
        (TRAIN | {"image1.png": True}, TEST, r"the label of 'image1\.png' is True"),
        ([{"filename": "image1.png"}], TEST, "record 1 has not both a filename"),
        (["image1.png"], TEST, "record 1 has not both"),
        ("cat", TEST, "must be a mapping of file name to label, or a list of records"),
        ([*records(TRAIN, "path"), {"path": "image1.png", "label": "dog"}], TEST, "'cat' and 'dog'"),
        (TRAIN, {"gallery1.png": "cat", "gallery2.png": "dog"}, "no images in the query part"),
    ],
)
def test_a_mistake_is_told_with_file_and_entry(root: Path, train: object, test: object, reason: str) -> None:
    describe(root, train, test)
    with pytest.raises(DataError, match=reason) as caught:
        list_manifest(root, root)
    assert str(caught.value).startswith(str(root))
    assert "\n" not in str(caught.value)


def test_json_that_does_not_parse_is_told_with_line_and_column(root: Path) -> None:
    (root / "train_image_info.json").write_text('{\n"image1.png": cat}')
    with pytest.raises(DataError, match=r"train_image_info\.json: line 2, column 15: not valid JSON"):
        list_manifest(root, root)


def test_what_the_layout_lacks_is_named(root: Path) -> None:
    (root / "test_image_info.json").unlink()
    (root / "gallery").rename(root / "galery")
    with pytest.raises(DataError, match=r"no test_image_info\.json, gallery/ in it"):
        list_manifest(root, root)


@pytest.mark.parametrize(
    ("train", "reason"),
    [
        (
            [{"filename": "image1.png", "label": "cat"}, {"filename": "image2.png", "label": "d\0g"}],
            "label 'd.x00g' has",
        ),
        ({"image1.png": "cat", "image2.png": "\ud800"}, "label '.ud800' has half a character"),
        ({"image1.png": "cat", "image2\0.png": "dog"}, "'image2.x00.png' is no file name"),
        ({"image1.png": "cat", "\ud800.png": "dog"}, "'.ud800.png' is no file name"),
    ],
    ids=ascii,
)
def test_names_and_labels_that_are_no_text_are_refused_by_their_record(
    root: Path, tmp_path: Path, train: object, reason: str
) -> None:
    describe(root, train, TEST)
    with pytest.raises(DataError, match=rf"train_image_info\.json: record 2: (the )?{reason}"):
        list_manifest(root, tmp_path)
