"""A Parquet file with images in it is a manifest like any other."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bench.contract import Collection, DataError, DataPlace
from bench.data.decoding.cache_admin import cache_items, problem_of
from bench.data.decoding.decode import DecodeRecipe
from bench.data.formats import parquet
from bench.data.layouts.listing import collect
from bench.data.layouts.locate import loader_for_path
from bench.data.layouts.manifest import Reading, list_manifest

Write = Callable[..., Path]


def image(shade: int) -> bytes:
    out = io.BytesIO()
    Image.new("L", (8, 8), shade).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    pyarrow: Any = pytest.importorskip("pyarrow")
    parquet: Any = pytest.importorskip("pyarrow.parquet")

    def table(metadata: object = None, **columns: list[Any]) -> Path:
        made = pyarrow.table(columns)
        if metadata is not None:
            made = made.replace_schema_metadata({"huggingface": json.dumps(metadata)})
        path = tmp_path / "birds" / "all.parquet"
        path.parent.mkdir(exist_ok=True)
        parquet.write_table(made, path, row_group_size=3)
        return path

    return table


def load(path: Path, place: DataPlace, reading: Reading | None = None) -> Collection:
    return collect(list_manifest(path, place.cache, reading), place, DecodeRecipe(), mirror=False)


def shades(collection: Collection) -> dict[str, list[tuple[str, int]]]:
    return {
        name: [
            (collection.classes[label], int(pixels[0, 0, 0]))
            for label, pixels in zip(part.labels, part.images.take(slice(None)), strict=True)
        ]
        for name, part in collection.parts().items()
    }


def test_bytes_and_labels_and_splits_are_read_and_the_images_are_unpacked_once(write: Write, place: DataPlace) -> None:
    path = write(
        image=[image(n) for n in range(10, 18)],
        label=["a", "b"] * 4,
        split=["train"] * 4 + ["validation"] * 2 + ["test"] * 2,
    )
    assert loader_for_path(str(path)) == ("manifest", {"path": str(path)})
    collection = load(path, place)
    assert collection.name == "birds-all"
    assert shades(collection) == {
        "train": [("a", 10), ("b", 11), ("a", 12), ("b", 13)],
        "validation": [("a", 14), ("b", 15)],
        "test": [("a", 16), ("b", 17)],
    }
    assert collection.train.ids.tolist() == [f"{n:07}" for n in range(1, 5)]
    written = {one.folder: (one.folder / "entry.json").stat().st_ino for one in cache_items(place.cache)}
    assert shades(load(path, place)) == shades(collection)
    assert {one.folder: (one.folder / "entry.json").stat().st_ino for one in cache_items(place.cache)} == written
    assert {one.kind for one in cache_items(place.cache)} == {"decoded", "unpacked"}
    assert [problem_of(one) for one in cache_items(place.cache)] == [None, None]


def test_structs_have_paths_that_are_ids_and_numbers_have_names(write: Write, place: DataPlace) -> None:
    features = {"info": {"features": {"label": {"names": ["crow", "emu"], "_type": "ClassLabel"}}}}
    cells = [{"bytes": image(n), "path": f"{n}.png"} for n in range(4)]
    path = write(features, image=cells, label=[0, 1, 1, 0], split=["train", "train", "test", "test"])
    collection = load(path, place)
    assert shades(collection)["test"] == [("emu", 2), ("crow", 3)]
    assert collection.train.ids.tolist() == ["0.png", "1.png"]


def test_without_a_split_a_seeded_cut_is_made_and_labels_may_be_in_another_column(
    write: Write, place: DataPlace
) -> None:
    path = write(image=[image(n) for n in range(20)], kind=[n % 2 for n in range(20)])
    collection = load(path, place, Reading(label_column="kind"))
    assert collection.classes == ("0", "1")
    assert {name: len(part) for name, part in collection.parts().items()} == {"train": 14, "test": 6}
    half = load(path, place, Reading(label_column="kind", test_fraction=0.5))
    assert len(half.train) == 10


def test_queries_and_gallery_may_be_flagged(write: Write, place: DataPlace) -> None:
    path = write(
        image=[image(n) for n in range(6)],
        label=["a", "b", "a", "a", "b", "b"],
        split=["train", "train", "test", "test", "test", "test"],
        is_query=[None, None, True, False, True, False],
        is_gallery=[None, None, False, True, True, True],
    )
    found = shades(load(path, place))
    assert found["query"] == [("a", 2), ("b", 4)]
    assert found["gallery"] == [("a", 3), ("b", 4), ("b", 5)]


def test_flagged_rows_are_for_testing_where_no_split_is_given(write: Write, place: DataPlace) -> None:
    path = write(
        image=[image(n) for n in range(6)],
        label=["a", "b", "a", "a", "b", "b"],
        is_query=[None, None, True, False, True, False],
        is_gallery=[None, None, False, True, True, True],
    )
    found = shades(load(path, place))
    assert found["train"] == [("a", 0), ("b", 1)]
    assert found["query"] == [("a", 2), ("b", 4)]


def test_a_row_that_is_no_image_is_left_out_and_named_by_its_number(write: Write, place: DataPlace) -> None:
    cells = [image(n) for n in range(10)]
    cells[3], cells[8] = b"no image", None  # type: ignore[call-overload] # a gap
    path = write(image=cells, label=["a", "b"] * 5)
    with pytest.raises(DataError, match=r"2 of 10 image files cannot be read: .*row 4 \(not an image"):
        load(path, place)
    collection = load(path, replace(place, broken="any"))
    assert sum(map(len, collection.parts().values())) == 8
    assert "0000009 (empty file)" in collection.notes[0]


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"img": [b"x"], "label": ["a"]}, r"no column 'image'; did you mean 'img'\?|no column 'image' .*found: img"),
        ({"image": [b"x"], "lable": ["a"]}, r"no column 'label'; did you mean 'lable'\?"),
        ({"image": [b"x"], "label": [None]}, "line 1, column label: empty"),
        ({"image": ["text"], "label": ["a"]}, "the column image holds str, not the bytes"),
        ({"image": [b"x"], "label": ["a"], "is_query": [True]}, "is_query and is_gallery go together"),
        ({"image": [b"x"], "label": ["a"], "split": ["tset"]}, "'tset' is not one of train"),
    ],
)
def test_a_mistake_is_told_in_one_line(write: Write, place: DataPlace, columns: dict[str, Any], reason: str) -> None:
    path = write(**columns)
    with pytest.raises(DataError, match=reason) as caught:
        load(path, place)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_parquet_is_refused(write: Write, place: DataPlace) -> None:
    path = write(image=[image(1)], label=["a"])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"all\.parquet: .*not a Parquet file|all\.parquet: cannot be read") as caught:
        load(path, place)
    assert "\n" not in str(caught.value)


def test_without_pyarrow_the_error_says_what_to_install(
    tmp_path: Path, place: DataPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (tmp_path / "x.parquet").touch()
    with pytest.raises(DataError, match=r"needs pyarrow: pip install 'simbench-retrieval\[hf\]'"):
        load(tmp_path / "x.parquet", place)


@pytest.mark.parametrize("part", ["images.bin", "lengths.npy", "paths.json", "entry.json"])
def test_damaged_unpacked_images_are_unpacked_again(
    write: Write, place: DataPlace, part: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(
        image=[image(n) for n in range(10, 18)],
        label=["a", "b"] * 4,
        split=["train"] * 4 + ["validation"] * 2 + ["test"] * 2,
    )
    right = shades(load(path, place))
    (folder,) = (place.cache / "unpacked").glob("*/")
    data = bytearray((folder / part).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / part).write_bytes(data)
    parquet._verified.clear()  # as in a new process
    assert shades(load(path, place)) == right
    assert caplog.text.count("unpacking again") == 1


@pytest.mark.parametrize(("column", "odd"), [("label", "a\0"), ("split", "te\0st"), ("path", "x\0.png")])
def test_a_zero_byte_in_a_cell_is_refused_by_row_and_column(
    write: Write, place: DataPlace, column: str, odd: str
) -> None:
    cells = {"label": ["a", "b"], "split": ["train", "test"], "path": ["0.png", "1.png"]}
    cells[column][1] = odd
    pictures = [{"bytes": image(at), "path": path} for at, path in enumerate(cells.pop("path"))]
    source = write(image=pictures, **cells)
    with pytest.raises(DataError, match=rf"all\.parquet: line 2, column {column}: .* has a zero byte in it"):
        load(source, place)
