"""What others' tools wrote is read as they wrote it: UnED's lists of a domain, open-metric-learning's table."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.contract import Collection, DataError, DataPlace, Relevance
from bench.data.decoding.decode import DecodeRecipe
from bench.data.layouts.listing import collect
from bench.data.layouts.locate import loader_for_path
from bench.data.layouts.manifest import list_manifest
from bench.data.splits.answers import relevant_items
from bench.data.splits.protocols import build_dataset

Paint = Callable[..., Path]
Info = list[tuple[str, Any]]


@pytest.fixture
def uned(tmp_path: Path, paint: Paint) -> Callable[..., Path]:
    """Write a domain's lists, and the images that they name, as upstream lays them out; return its folder of lists."""

    def write(domain: str, *, absent: str = "", **infos: Info) -> Path:
        folder = tmp_path / "data" / "info_files" / domain
        folder.mkdir(parents=True)
        for name, rows in infos.items():
            text = json.dumps([{"path": f"{domain}/{path}", "class_id": one} for path, one in rows])
            (folder / f"{name}.json").write_text(text, encoding="utf-8")
            for path, _ in rows:
                if path != absent:
                    paint(tmp_path / "data" / "images" / domain / path.replace("小", "#U5c0f"))
        return folder

    return write


def read(source: Path, place: DataPlace) -> Collection:
    plugin, options = loader_for_path(str(source))
    assert plugin == "manifest"
    return collect(list_manifest(Path(options["path"]), place.cache), place, DecodeRecipe(), mirror=True)


CARS: dict[str, Info] = {
    "train": [("1.png", 3), ("2.png", 3), ("3.png", 5), ("4.png", 5)],
    "val": [("5.png", 7), ("6.png", 7)],
    "test": [("7.png", 11), ("8.png", 11), ("9.png", 12), ("10.png", 12), ("11.png", 12)],
}


def test_a_domain_of_uned_without_an_index_has_test_images_that_ask_each_other(
    uned: Callable[..., Path], place: DataPlace
) -> None:
    found = read(uned("cars", **CARS), place)
    assert found.name == "uned-cars"
    assert {name: len(part) for name, part in found.parts().items()} == {
        "train": 4, "test": 5, "query": 5, "gallery": 5,
    }  # fmt: skip
    assert found.test is not None
    assert found.test.ids.tolist() == [f"cars/{n}.png" for n in range(7, 12)]
    assert [found.classes[label] for label in found.test.labels] == ["11", "11", "12", "12", "12"]
    assert "val.json is not read: its classes are not those of train.json" in found.notes
    data = build_dataset(found)
    assert (data.protocol.name, len(data.query), len(data.gallery), data.seen_classes) == ("given", 5, 5, False)
    assert relevant_items(data.query, data.gallery).tolist() == [1, 1, 2, 2, 2]  # itself is no answer


def test_an_image_of_several_classes_asks_for_all_of_them_in_the_index(
    uned: Callable[..., Path], place: DataPlace
) -> None:
    index: Info = [("i1.png", 1), ("i2.png", 2), ("i3.png", 3), ("小4.png", [2])]
    found = read(uned("rp2k", test=[("q1.png", [1, 2]), ("q2.png", 3), ("q3.png", [])], index=index), place)
    assert found.query is not None
    names = ["rp2k/i1.png", "rp2k/i2.png", "rp2k/#U5c0f4.png", "rp2k/i3.png"]
    assert found.query.relevance == Relevance(positives=(tuple(names[:3]), (names[3],), ()))
    assert build_dataset(found).protocol.name == "given"


@pytest.mark.parametrize(
    ("infos", "said"),
    [
        ({"test": [("1.png", 1), ("2.png", "b")]}, r"test\.json: record 2: class_id must be a whole number or a list"),
        ({"test": [("1.png", [1, 2]), ("2.png", 2)]}, r"1\.png is not of one class; what answers it must stand in an"),
        ({"test": [("1.png", 1), ("gone.png", 1)]}, r"test\.json: 1 of its images are not in .*images: x/gone\.png"),
    ],
)
def test_what_is_wrong_in_lists_of_uned_is_told_with_its_file(
    uned: Callable[..., Path], infos: dict[str, Info], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        list_manifest(uned("x", absent="gone.png", **infos), Path("/nowhere"))


def test_a_table_of_open_metric_learning_is_read_as_pandas_wrote_it(
    tmp_path: Path, paint: Paint, place: DataPlace
) -> None:
    for name in ("a1", "a2", "b1", "b2", "c1", "c2", "d1", "d2"):
        paint(tmp_path / "set" / "images" / f"{name}.png")
    table = tmp_path / "set" / "df_with_bboxes.csv"
    table.write_text(
        "label,path,split,is_query,is_gallery,x_1,x_2,y_1,y_2,category\n"
        "0,images/a1.png,train,,,1.0,5.0,0.0,6.0,bird\n0,images/a2.png,train,,,,,,,bird\n"
        "1,images/b1.png,train,,,,,,,bird\n1,images/b2.png,train,,,,,,,bird\n"
        "2,images/c1.png,validation,True,True,,,,,fish\n2,images/c2.png,validation,False,True,2.0,6.0,1.0,7.0,fish\n"
        "3,images/d1.png,validation,True,False,,,,,fish\n3,images/d2.png,validation,True,True,,,,,fish\n",
        encoding="utf-8",
    )
    found = read(table, place)
    ids = {name: part.ids.tolist() for name, part in found.parts().items() if name != "test"}
    assert ids == {
        "train": ["images/a1.png#1,0,5,6", "images/a2.png", "images/b1.png", "images/b2.png"],
        "query": ["images/c1.png", "images/d1.png", "images/d2.png"],
        "gallery": ["images/c1.png", "images/c2.png#2,1,6,7", "images/d2.png"],
    }
    assert found.notes == ("columns that nothing reads: category",)
    data = build_dataset(found)
    assert (data.protocol.name, data.seen_classes) == ("given", False)
