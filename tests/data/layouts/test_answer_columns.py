"""A table's columns camera, positives and ignore become groups and lists, and a mistake is told with its line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.contract import Collection, DataError, DataPlace, Relevance
from bench.data.decoding.decode import DecodeRecipe
from bench.data.layouts.listing import collect
from bench.data.layouts.manifest import list_manifest
from bench.data.splits.protocols import build_dataset

Paint = Callable[..., Path]
HEAD = "path,label,split,is_query,is_gallery,"
GALLERY = "".join(f"{name}.png,x,test,,1,,\n" for name in ("a1", "a2", "b 1", "b2"))


@pytest.fixture
def read(tmp_path: Path, paint: Paint, place: DataPlace) -> Callable[[str], Collection]:
    """Read a manifest in a folder with images q1, q2, a1, a2, b 1 and b2."""
    for name in ("q1", "q2", "a1", "a2", "b 1", "b2"):
        paint(tmp_path / "own" / f"{name}.png")

    def collection(text: str) -> Collection:
        source = tmp_path / "own" / "all.csv"
        source.write_text(text, encoding="utf-8")
        return collect(list_manifest(source, tmp_path), place, DecodeRecipe(), mirror=True)

    return collection


def test_lists_name_rows_of_the_gallery_by_path(read: Callable[[str], Collection]) -> None:
    found = read(
        f"{HEAD}positives,ignore\nq1.png,x,test,1,,a1.png a2.png,b 1.png\n"
        f"q2.png,x,test,1,,b 1.png;b2.png,none\n{GALLERY}"
    )
    assert found.query is not None
    assert found.query.relevance == Relevance(
        positives=(("a1.png", "a2.png"), ("b 1.png", "b2.png")), ignored=(("b 1.png",), ())
    )
    assert build_dataset(found).query.relevance == found.query.relevance  # one class, but lists say what answers


def test_gains_stand_beside_the_positives_and_are_part_of_the_data(read: Callable[[str], Collection]) -> None:
    found = [
        read(
            f"{HEAD}positives,gains\nq1.png,x,test,1,,a1.png a2.png b2.png,{gains}\n"
            f"q2.png,x,test,1,,b 1.png;b2.png,1;.5\n{GALLERY}"
        )
        for gains in ("3 0 1", "1;0;3")
    ]
    assert found[0].query is not None
    assert found[0].query.relevance == Relevance(
        positives=(("a1.png", "b2.png"), ("b 1.png", "b2.png")), gains=((3, 1), (1, 0.5))
    )
    assert len({build_dataset(one).fingerprint for one in found}) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("positives,gains\nq1.png,x,test,1,,a1.png,1 2\n", "line 2, column gains: 2 numbers for 1 positives"),
        ("positives,gains\nq1.png,x,test,1,,a1.png,-1\n", "line 2, column gains: '-1' is no number of 0 or more"),
        ("positives,gains\nq1.png,x,test,1,,a1.png a1.png,1 2\n", "line 2, column gains: 'a1.png' has two gains"),
        ("ignore,gains\nq1.png,x,test,1,,a1.png,1\n", "line 1: gains without positives"),
    ],
)
def test_gains_that_do_not_fit_are_told_with_their_line(
    read: Callable[[str], Collection], text: str, said: str
) -> None:
    with pytest.raises(DataError, match=said):
        read(HEAD + text + GALLERY)


def test_cameras_are_groups_of_every_part(read: Callable[[str], Collection]) -> None:
    found = read(
        "path,label,split,camera\nq1.png,x,query,left\nq2.png,y,query,\na1.png,x,gallery,left\na2.png,x,gallery,right\n"
        "b2.png,y,gallery,NaN\n"
    )
    assert found.query is not None
    assert found.gallery is not None
    assert found.query.groups is not None
    assert found.gallery.groups is not None
    assert found.query.groups.tolist() == ["left", ""]
    assert found.gallery.groups.tolist() == ["left", "right", ""]


def test_lists_of_a_picture_that_cannot_be_read_are_shorter(
    read: Callable[[str], Collection], tmp_path: Path, place: DataPlace
) -> None:
    text = f"{HEAD}positives,ignore\nq1.png,x,test,1,,a1.png a2.png,\n{GALLERY}"
    read(text)
    (tmp_path / "own" / "a2.png").write_bytes(b"no picture")
    listing = list_manifest(tmp_path / "own" / "all.csv", tmp_path)
    tolerant = DataPlace(root=place.root, cache=place.cache, download=False, broken="any")
    found = collect(listing, tolerant, DecodeRecipe(), mirror=True)
    assert found.query is not None
    assert found.query.relevance == Relevance(positives=(("a1.png",),), ignored=((),))


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            f"{HEAD}positives,ignore\nq1.png,x,test,1,,a1.png a3.png,\n{GALLERY}",
            "line 2, column positives: 'a3.png' is no id and no path of a gallery row; did you mean",
        ),
        (
            f"{HEAD}positives,ignore\nq1.png,x,test,1,,a1.png,a2.png;a1.png\n{GALLERY}",
            "line 2, column ignore: 'a1.png' is among the row's positives too",
        ),
        (
            f"{HEAD}positives\nq1.png,x,test,1,,a1.png\na1.png,x,test,,1,q1.png\n",
            "line 3, column positives: only a query has positives",
        ),
        (
            "path,label,split,ignore\nq1.png,x,test,a1.png\na1.png,x,train,\n",
            "line 2, column ignore: only a query has ignore; the table names none: add the columns is_query",
        ),
        ("path,label,split,camera,group\nq1.png,x,test,a,b\n", "line 1: the columns group and camera mean the same"),
        (f"{HEAD}positives,camera\nq1.png,x,test,1,,a1.png,l\n", "line 1: camera goes with labels and positives take"),
        (
            f"{HEAD}positives,x_1,y_1,x_2,y_2\nq1.png,x,test,1,,a1.png,,,,\na1.png,x,test,,1,,0,0,2,2\n"
            "a1.png,x,test,,1,,1,1,3,3\n",
            "line 2, column positives: 'a1.png' is the path of 2 gallery rows; write one's id",
        ),
    ],
)
def test_a_list_that_cannot_be_meant_is_told_with_its_line(
    read: Callable[[str], Collection], rows: str, said: str
) -> None:
    with pytest.raises(DataError, match=said):
        read(rows)
