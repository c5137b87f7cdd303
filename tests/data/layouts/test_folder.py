"""A folder of images is listed as it is laid out, and one that is laid out otherwise is refused helpfully."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.contract import DataError, DataPlace
from bench.data.decoding.decode import DecodeRecipe
from bench.data.layouts.folder import LabelFrom, label_of, list_folder, parts_among
from bench.data.layouts.listing import collect
from bench.data.splits.protocols import build_dataset

Paint = Callable[..., Path]


def fill(paint: Paint, root: Path, **counts: int) -> Path:
    for name, count in counts.items():
        for number in range(count):
            paint(root / name.replace("__", "/") / f"{number}.png")
    return root


def test_split_folders_become_the_parts(tmp_path: Path, paint: Paint) -> None:
    root = fill(paint, tmp_path / "pets", train__cat=3, train__dog=2, val__cat=1, val__dog=1, test__cat=2, test__dog=2)
    listing = list_folder(root)
    assert listing.name == "pets"
    assert listing.classes == ("cat", "dog")
    assert {name: len(part) for name, part in listing.parts.items()} == {"train": 5, "validation": 2, "test": 4}
    assert listing.parts["train"].ids[0] == "train/cat/0.png"
    assert listing.parts["train"].labels == ("cat",) * 3 + ("dog",) * 2


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Validation"])
def test_the_validation_folder_has_several_names(tmp_path: Path, paint: Paint, name: str) -> None:
    for part in ("Train", name, "TEST"):
        fill(paint, tmp_path / part, a=2, b=2)
    assert set(list_folder(tmp_path).parts) == {"train", "validation", "test"}


def test_without_a_test_folder_the_validation_folder_is_tested_on(tmp_path: Path, paint: Paint) -> None:
    fill(paint, tmp_path, train__a=2, train__b=2, val__a=1, val__b=1)
    listing = list_folder(tmp_path)
    assert set(listing.parts) == {"train", "test"}
    assert listing.parts["test"].ids == ("val/a/0.png", "val/b/0.png")


def test_without_split_folders_a_seeded_stratified_cut_is_made(tmp_path: Path, paint: Paint) -> None:
    root = fill(paint, tmp_path, a=10, b=20, lone=1, pair=2)
    listing = list_folder(root)
    train, test = listing.parts["train"], listing.parts["test"]
    assert Counter(test.labels) == {"a": 3, "b": 6, "pair": 1}
    assert Counter(train.labels) == {"a": 7, "b": 14, "lone": 1, "pair": 1}
    assert not set(train.ids) & set(test.ids)
    assert list_folder(root).parts == listing.parts
    assert list_folder(root, split_seed=1).parts != listing.parts
    assert Counter(list_folder(root, test_fraction=0.5).parts["test"].labels) == {"a": 5, "b": 10, "pair": 1}


def test_classes_are_in_natural_order(tmp_path: Path, paint: Paint) -> None:
    root = fill(paint, tmp_path, class10=2, class2=2, Class1=2, b=2)
    assert list_folder(root).classes == ("b", "Class1", "class2", "class10")


def test_folders_inside_a_class_belong_to_it(tmp_path: Path, paint: Paint) -> None:
    root = fill(paint, tmp_path, a=1, a__summer=1, a__summer__beach=1, b=2)
    listing = list_folder(root)
    ids = listing.parts["train"].ids + listing.parts["test"].ids
    assert {"a/0.png", "a/summer/0.png", "a/summer/beach/0.png"} < set(ids)


def test_hidden_files_are_passed_over_and_others_that_are_no_images_counted(tmp_path: Path, paint: Paint) -> None:
    root = fill(paint, tmp_path, a=2, b=2)
    paint(root / "a" / ".hidden.png")
    paint(root / ".cache" / "x.png")
    paint(root / "__MACOSX" / "x.png")
    for name in ("README.md", "a/notes.txt", "b/Thumbs.db"):
        (root / name).touch()
    listing = list_folder(root)
    assert sum(map(len, listing.parts.values())) == 4
    assert listing.left_out == {".md": 1, ".txt": 1, ".db": 1}


def test_names_in_any_script_with_spaces_are_classes_and_ids(tmp_path: Path, paint: Paint) -> None:
    root = fill(paint, tmp_path / "Mes photos d'été", **{"chat noir": 2, "собака": 2})
    listing = list_folder(root)
    assert listing.name == "mes-photos-d-été"
    assert listing.classes == ("chat noir", "собака")
    assert "chat noir/0.png" in listing.parts["train"].ids + listing.parts["test"].ids


def test_a_class_whose_name_is_not_utf8_can_be_written_down(tmp_path: Path, paint: Paint) -> None:
    root = fill(paint, tmp_path, a=2, b=2)
    os.rename(os.fsencode(root / "b"), os.fsencode(root) + b"/caf\xe9")
    assert list_folder(root).classes == ("a", "caf\\xe9")


def test_links_are_followed_but_not_in_a_circle(tmp_path: Path, paint: Paint) -> None:
    root = fill(paint, tmp_path / "data", a=2, b=2)
    fill(paint, tmp_path / "elsewhere", c=3)
    (root / "c").symlink_to(tmp_path / "elsewhere" / "c")
    (root / "a" / "again").symlink_to(root / "a")
    listing = list_folder(root)
    assert Counter(label for part in listing.parts.values() for label in part.labels) == {"a": 2, "b": 2, "c": 3}


def test_whatever_bears_an_images_name_is_listed_so_that_it_can_be_counted(tmp_path: Path, paint: Paint) -> None:
    root = fill(paint, tmp_path, a=2, b=2)
    os.mkfifo(root / "a" / "pipe.png")
    os.mkfifo(root / "a" / "pipe")
    (root / "a" / "dangling.png").symlink_to(root / "nowhere.png")
    (root / "a" / "itself.png").symlink_to(root / "a" / "itself.png")
    (root / "a" / "empty.png").mkdir()
    (root / "a" / "full.png").mkdir()
    paint(root / "a" / "full.png" / "inner.png")
    parts = list_folder(root).parts.values()
    odd = {one for part in parts for one in part.ids} - {f"{name}/{n}.png" for name in "ab" for n in range(2)}
    names = ("dangling.png", "empty.png", "full.png/inner.png", "itself.png", "pipe.png")
    assert odd == {f"a/{name}" for name in names}


def test_links_between_folders_do_not_multiply_them(tmp_path: Path, paint: Paint) -> None:
    root = fill(paint, tmp_path, a=1, b=2)
    for level in range(30):  # two links to the next level in each: a billion ways through
        folder = root / "a" / f"level{level}"
        paint(folder / "x.png")
        for name in ("left", "right"):
            (folder / name).symlink_to(root / "a" / f"level{level + 1}")
    assert sum(map(len, list_folder(root).parts.values())) == 33


def test_a_class_may_be_called_train(tmp_path: Path, paint: Paint) -> None:
    assert list_folder(fill(paint, tmp_path, bus=2, car=2, train=2)).classes == ("bus", "car", "train")


@pytest.mark.parametrize(
    ("counts", "reason"),
    [
        ({}, "there are no class folders in it; put the images of each class into a folder of its own"),
        ({"a": 3}, r"one class only \(a\)"),
        ({"a": 1, "b": 1}, "no images in the test part"),
        ({"train__a": 1, "train__b": 1}, "only train/ in it; add test/ beside it, or give .*train itself"),
        ({"val__a": 1, "val__b": 1}, "only val/ in it; add test/ beside it"),
        (
            {"train__a": 1, "train__b": 1, "test__a": 1, "test__c": 1, "test__d": 1},
            "classes in the test part that are not in train: c, d",
        ),
        ({"train__a": 1, "valid__a": 1, "val__a": 1, "test__a": 1}, "val/ and valid/ are both the validation part"),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused_with_the_reason(
    tmp_path: Path, paint: Paint, counts: dict[str, int], reason: str
) -> None:
    with pytest.raises(DataError, match=reason) as caught:
        list_folder(fill(paint, tmp_path, **counts))
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_that_does_not_exist_or_is_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: no such folder"):
        list_folder(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="file: a file, not a folder"):
        list_folder(tmp_path / "file")


def test_images_without_class_folders_are_counted_in_the_error(tmp_path: Path, paint: Paint) -> None:
    paint(tmp_path / "1.png")
    paint(tmp_path / "2.jpg")
    with pytest.raises(DataError, match="2 images lie directly in it, and there are no class folders"):
        list_folder(tmp_path)


def test_empty_classes_are_named(tmp_path: Path, paint: Paint) -> None:
    root = fill(paint, tmp_path, a=2, b=2)
    (root / "empty one").mkdir()
    (root / "empty one" / "notes.txt").touch()
    with pytest.raises(DataError, match="class folders without an image: empty one; fill or delete them"):
        list_folder(root)


def test_a_class_in_two_normal_forms_is_one_class(tmp_path: Path, paint: Paint) -> None:
    for folder in ("train/caf\u00e9", "test/cafe\u0301", "train/tea", "test/tea"):
        for number in range(2):
            paint(tmp_path / folder / f"{number}.png")
    listing = list_folder(tmp_path)
    assert listing.classes == ("caf\u00e9", "tea")
    assert Counter(listing.parts["test"].labels) == {"caf\u00e9": 2, "tea": 2}


def test_what_systems_leave_behind_is_passed_over(tmp_path: Path, paint: Paint) -> None:
    root = fill(paint, tmp_path, a=2, b=2)
    for folder in (
        "a/@eaDir/0.png",
        "#recycle",
        "$RECYCLE.BIN",
        "lost+found",
        "b/@__thumb",
        "System Volume Information",
    ):
        paint(root / folder / "thumb.png")
    listing = list_folder(root)
    assert listing.classes == ("a", "b")
    assert sum(map(len, listing.parts.values())) == 4
    assert listing.left_out == {}


@pytest.mark.parametrize(
    ("folders", "album"),
    [
        (("2024-05-01", "2024-05-02 Rome", "2024-06-11"), True),
        (("20240501", "20240502"), True),
        (("May 2024", "June 2024", "friends"), True),
        (("100CANON", "101CANON"), True),
        (("DCIM", "Screenshots", "Camera"), True),
        (("2019", "2020"), True),
        (("cat", "dog", "2024-05-01"), False),
        (("10012345", "10012346"), False),  # article numbers
        (("0", "1", "17"), False),
        (("maybe", "mayor"), False),
    ],
)
def test_folders_named_like_an_albums_are_warned_of(
    tmp_path: Path, paint: Paint, folders: tuple[str, ...], album: bool
) -> None:
    for folder in folders:
        for number in range(2):
            paint(tmp_path / folder / f"{number}.png")
    warnings = list_folder(tmp_path).warnings
    assert ["folders named like an album's" in warning for warning in warnings] == [True] * album


def test_pictures_left_out_are_told_by_suffix_with_what_reads_them(
    tmp_path: Path, paint: Paint, place: DataPlace, caplog: pytest.LogCaptureFixture
) -> None:
    root = fill(paint, tmp_path / "shop", a=2, b=2)
    for name in ("a/1.jxl", "a/2.JXL", "b/1.cr2", "b/notes.txt"):
        (root / name).touch()
    notes = collect(list_folder(root), place, DecodeRecipe(), mirror=False).notes
    assert notes[:2] == (
        "pictures: 3 left out, in no class or of a format that is not read: 2 .jxl, 1 .cr2 "
        "(1 .cr2, 2 .jxl are not read here; save them as PNG or JPEG)",
        "left out: 1 .txt",
    )
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_classes_of_unread_pictures_alone_are_refused_with_what_reads_them(tmp_path: Path, paint: Paint) -> None:
    root = fill(paint, tmp_path, a=2, b=2)
    for name in ("c/1.jxl", "c/2.jxl"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()
    with pytest.raises(
        DataError, match=r"without an image: c; .* \(2 .jxl are not read here; save them as PNG or JPEG"
    ):
        list_folder(root)


NAMES = ("bags/front/1.png", "bags/side/2.png", "bags/3.png", "4.png", "train/bags/5.png", "train/bags/front/6.png")


@pytest.mark.parametrize(
    ("label_from", "labels"),
    [
        ("outer", ["bags", "bags", "bags", None, "bags", "bags"]),
        ("inner", ["front", "side", "bags", None, "bags", "front"]),
    ],
)
def test_a_nested_pictures_label_follows_one_rule(label_from: LabelFrom, labels: list[str | None]) -> None:
    assert [label_of(name, {"train"}, label_from) for name in NAMES] == labels


@pytest.mark.parametrize("label_from", ["outer", "inner"])
def test_a_runs_labels_are_those_that_an_embedded_folder_gets(
    tmp_path: Path, paint: Paint, label_from: LabelFrom
) -> None:
    for root in (tmp_path / "whole", tmp_path / "cut" / "train", tmp_path / "cut" / "test"):
        fill(paint, root, bags__front=2, bags__side=2, hats__front=2)
    for root in (tmp_path / "whole", tmp_path / "cut"):
        listing = list_folder(root, label_from=label_from)
        ids = [one for part in listing.parts.values() for one in part.ids]
        labels = [label for part in listing.parts.values() for label in part.labels]
        parts = parts_among(ids)
        assert [label_of(name, parts, label_from) for name in ids] == labels
        assert listing.classes == (("bags", "hats") if label_from == "outer" else ("front", "side"))


def test_folders_of_two_meanings_are_no_parts_of_a_folder_to_embed() -> None:
    assert parts_among(["test/ok/1.png", "ok/2.png"]) == frozenset()
    assert parts_among(["train/a/1.png", "test/a/2.png"]) == {"train", "test"}
    assert parts_among(["train/1.png", "bus/2.png"]) == frozenset()  # the vehicle
    assert parts_among(["1.png"]) == frozenset()


@pytest.mark.parametrize("parts", [("test",), ("query", "gallery"), ("val", "test")])
def test_pictures_to_test_on_need_none_to_learn_from(
    tmp_path: Path, place: DataPlace, paint: Paint, parts: tuple[str, ...]
) -> None:
    root = fill(paint, tmp_path, **{f"{part}__{name}": 2 for part in parts for name in ("a", "b")})
    found = collect(list_folder(root), place, DecodeRecipe(), mirror=False)
    assert (len(found.train), len(found.classes)) == (0, 2)
    data = build_dataset(found)
    assert (len(data.train), data.seen_classes) == (0, "val" in parts)
    assert any("no training part" in note for note in data.notes)
