"""A CSV manifest is read as it says, and an error names its file, line and column."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.contract import DataError, DataPlace
from bench.data.decoding.decode import DecodeRecipe, decode_files
from bench.data.decoding.decode_image import read_picture
from bench.data.decoding.image_source import Crop, UnreadableImageError
from bench.data.layouts.listing import Listing, collect
from bench.data.layouts.manifest import Reading
from bench.data.layouts.manifest import list_manifest as list_table

Paint = Callable[..., Path]
NOWHERE = Path("/nowhere")  # CSV files need no cache
PLAIN = "path,label,split\na1.png,a,train\nb1.png,b,train\na2.png,a,test\nb2.png,b,test\n"


@pytest.fixture
def write(tmp_path: Path, paint: Paint) -> Callable[[str], Path]:
    """Write a manifest into a folder with images a1 to a4 and b1 to b4."""
    for name in "ab":
        for number in range(1, 5):
            paint(tmp_path / "birds" / f"{name}{number}.png")

    def manifest(text: str) -> Path:
        (tmp_path / "birds" / "df.csv").write_text(text, encoding="utf-8")
        return tmp_path / "birds" / "df.csv"

    return manifest


def list_manifest(path: Path, reading: Reading | None = None) -> Listing:
    return list_table(path, NOWHERE, reading)


def ids(path: Path) -> dict[str, tuple[str, ...]]:
    return {name: part.ids for name, part in list_manifest(path).parts.items()}


def test_three_columns_give_train_and_test(write: Callable[[str], Path]) -> None:
    listing = list_manifest(write(PLAIN))
    assert listing.name == "birds-df"
    assert {name: part.ids for name, part in listing.parts.items()} == {
        "train": ("a1.png", "b1.png"),
        "test": ("a2.png", "b2.png"),
    }
    assert listing.parts["test"].labels == ("a", "b")


def test_query_and_gallery_columns_give_their_parts(write: Callable[[str], Path]) -> None:
    path = write(
        "label,path,split,is_query,is_gallery,weight\n"
        "a,a1.png,train,,,\nb,b1.png,train,,,\na,a3.png,validation,,,\n"
        "a,a2.png,test,True,False,5\nb,b2.png,test,1,yes,\nb,b3.png,test,no,1.0,\na,a4.png,test,0,t,\n"
    )
    assert ids(path) == {
        "train": ("a1.png", "b1.png"),
        "validation": ("a3.png",),
        "test": ("a2.png", "b2.png", "b3.png", "a4.png"),
        "query": ("a2.png", "b2.png"),
        "gallery": ("b2.png", "b3.png", "a4.png"),
    }


def test_validation_rows_that_are_queries_are_tested_on_and_never_validated_on(write: Callable[[str], Path]) -> None:
    path = write(
        "path,label,split,is_query,is_gallery\na1.png,a,train,,\nb1.png,b,train,,\n"
        "a2.png,a,validation,True,True\nb2.png,b,validation,True,True\na3.png,a,validation,False,True\n"
    )
    assert ids(path) == {
        "train": ("a1.png", "b1.png"),
        "test": ("a2.png", "b2.png", "a3.png"),
        "query": ("a2.png", "b2.png"),
        "gallery": ("a2.png", "b2.png", "a3.png"),
    }


def test_one_image_on_two_lines_as_query_and_as_gallery_has_one_id(write: Callable[[str], Path]) -> None:
    path = write(
        "path,label,split,is_query,is_gallery\na1.png,a,train,,\nb1.png,b,train,,\n"
        "a2.png,a,test,1,0\na2.png,a,test,0,1\nb2.png,b,test,0,1\n"
    )
    found = ids(path)
    assert found["query"] == ("a2.png",)
    assert found["gallery"] == found["test"] == ("a2.png", "b2.png")


def test_flag_columns_that_are_all_empty_are_no_flags(write: Callable[[str], Path]) -> None:
    lines = PLAIN.splitlines()
    text = "\n".join([lines[0] + ",is_query,is_gallery", *(f"{line},," for line in lines[1:])])
    assert set(ids(write(text))) == {"train", "test"}


def test_train_rows_may_be_the_gallery(write: Callable[[str], Path]) -> None:
    path = write("path,label,split,is_query,is_gallery\na1.png,a,train,,1\nb1.png,b,train,,1\na2.png,a,test,1,\n")
    assert ids(path)["gallery"] == ids(path)["train"]


def test_queries_and_gallery_may_show_classes_that_train_does_not(write: Callable[[str], Path]) -> None:
    text = "path,label,split,is_query,is_gallery\na1.png,a,train,,\na2.png,new,test,1,0\na3.png,new,test,0,1\n"
    assert list_manifest(write(text)).classes == ("a", "new")
    with pytest.raises(DataError, match="classes in the test part that are not in train: new"):
        list_manifest(write("path,label,split\na1.png,a,train\na2.png,a,test\na3.png,new,test\n"))


def test_paths_may_be_absolute_or_have_folders_spaces_and_any_script(
    tmp_path: Path, paint: Paint, write: Callable[[str], Path]
) -> None:
    elsewhere = paint(tmp_path / "elsewhere" / "x.png")
    paint(tmp_path / "birds" / "große Vögel" / "ö, 1.png")
    path = write(PLAIN + f'{elsewhere},a,test\n"große Vögel/ö, 1.png",b,test\n')
    assert ids(path)["test"][2:] == (elsewhere.as_posix(), "große Vögel/ö, 1.png")


def test_the_labels_may_be_in_another_column(write: Callable[[str], Path]) -> None:
    path = write("path,kind,colour,split\na1.png,x,red,train\nb1.png,x,blue,train\na2.png,x,red,test\n")
    assert list_manifest(path, Reading(label_column="colour")).classes == ("blue", "red")
    with pytest.raises(DataError, match=r"no column 'color'; did you mean 'colour'\?"):
        list_manifest(path, Reading(label_column="color"))


def test_a_byte_order_mark_and_blank_lines_and_spaces_are_no_matter(write: Callable[[str], Path]) -> None:
    path = write("\ufeffpath, label, split\r\na1.png, a, train\r\nb1.png,b,Train\r\n\r\na2.png,a,test\r\n")
    assert ids(path) == {"train": ("a1.png", "b1.png"), "test": ("a2.png",)}


def test_a_split_may_be_called_as_a_folder_is_and_be_query_or_gallery(write: Callable[[str], Path]) -> None:
    path = write("path,label,split\na1.png,a,Training\nb1.png,b,train\na2.png,a,dev\nb2.png,b,eval\n")
    assert ids(path) == {"train": ("a1.png", "b1.png"), "validation": ("a2.png",), "test": ("b2.png",)}
    path = write("path,label,split\na1.png,a,train\nb1.png,b,train\na2.png,a,query\nb2.png,b,gallery\n")
    assert {name: found for name, found in ids(path).items() if name != "test"} == {
        "train": ("a1.png", "b1.png"),
        "query": ("a2.png",),
        "gallery": ("b2.png",),
    }


def test_without_test_rows_the_validation_rows_are_tested_on(write: Callable[[str], Path]) -> None:
    assert set(ids(write(PLAIN.replace("test", "val")))) == {"train", "test"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "line 1: no column 'path' .*found: nothing"),
        ("path,lable,split\n", r"line 1: no column 'label'; did you mean 'lable'\?"),
        ("path,label,split,is_query\n", "line 1: is_query and is_gallery go together"),
        ("path,label,split\n", "no images in it"),
        (PLAIN + "a3.png,a,tset\n", "line 6, column split: 'tset' is not one of train, validation, test"),
        (PLAIN + "a3.png,,test\n", "line 6, column label: empty"),
        (PLAIN + "a3.png,a\n", "line 6: 2 values for 3 columns"),
        (PLAIN + "a3.png,a,b,test\n", "line 6: 4 values for 3 columns; quote those with a comma"),
        (PLAIN + "x.png,a,test\ny.png,a,test\nz.png,a,test\n", r"line 6, column path: no such file: .*x\.png \(and 2"),
        (PLAIN + "a2.png,b,test\n", r"line 6, column label: a2\.png was 'a' before"),
        (PLAIN + "a2.png,a,test\n", r"twice in the test part: a2\.png"),
        (PLAIN + '"a3.png,a,test\n', "line 6: not valid CSV"),
        ("path,label,split\na1.png,a,train\na2.png,a,test\n", r"one class only \(a\)"),
        ("path,label,split\na1.png,a,train\nb1.png,b,train\n", "no images in the test part"),
        (
            "path,label,split,is_query,is_gallery\na1.png,a,test,maybe,1\n",
            "line 2, column is_query: 'maybe' is neither true nor false",
        ),
        (
            "path,label,split,is_query,is_gallery\na1.png,a,query,0,1\n",
            "line 2, column is_query: '0', but its split is 'query'; one of them is wrong",
        ),
        (
            "path,label,split,is_query,is_gallery\na1.png,a,train,1,1\n",
            "line 2, column is_query: a train image cannot be a query",
        ),
        (
            "path,label,split,is_query,is_gallery\na1.png,a,train,,\nb1.png,b,test,1,0\n",
            "no row has is_gallery set",
        ),
    ],
)
def test_a_mistake_is_told_with_file_line_and_column(write: Callable[[str], Path], text: str, reason: str) -> None:
    path = write(text)
    with pytest.raises(DataError, match=reason) as caught:
        list_manifest(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_text_that_is_not_utf8_is_refused(write: Callable[[str], Path]) -> None:
    path = write(PLAIN)
    path.write_bytes(PLAIN.encode() + "ä.png,a,test".encode("latin-1"))
    with pytest.raises(DataError, match=rf"line {PLAIN.count(chr(10)) + 1}: not UTF-8 text"):
        list_manifest(path)


def test_a_manifest_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        list_manifest(tmp_path / "none.csv")


def test_boxes_are_the_pictures_that_are_ranked(tmp_path: Path, place: DataPlace) -> None:
    pixels = np.zeros((4, 12), np.uint8)
    pixels[:, 4:8], pixels[:, 8:] = 100, 200  # three squares side by side, as of three objects in one photograph
    for name in ("p", "q"):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    (tmp_path / "df.csv").write_text(
        "path,label,split,x_1,x_2,y_1,y_2\n"
        "p.png,dark,train,0,4,0,4\np.png,grey,train,4.0,8.0,0,4\n"
        "q.png,dark,test,0,4,0,4\nq.png,grey,test,4,8,0,4\nq.png,light,train,8,12,0,4\n"
    )
    found = collect(list_manifest(tmp_path / "df.csv"), place, DecodeRecipe(), mirror=False)
    assert found.train.ids.tolist() == ["p.png#0,0,4,4", "p.png#4,0,8,4", "q.png#8,0,12,4"]
    assert found.train.images.take(slice(None)).reshape(3, 16).T.tolist() == [[0, 100, 200]] * 16
    assert found.test is not None
    assert found.test.images.take(slice(None))[:, 0, 0, 0].tolist() == [0, 100]


def test_a_box_out_of_its_picture_or_of_one_that_exif_turns_is_no_picture(tmp_path: Path) -> None:
    Image.new("L", (12, 4)).save(tmp_path / "p.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("L", (12, 4)).save(tmp_path / "t.jpg", exif=turned)
    for name, box, reason in (
        ("p.png", (8, 0, 13, 4), "reaches out of its 12x4"),
        ("t.jpg", (0, 0, 4, 4), "EXIF turns"),
    ):
        with pytest.raises(UnreadableImageError, match=reason):
            read_picture(Crop(str(tmp_path / name), box), None, "crop")


def test_a_large_table_of_boxes_is_cut_by_worker_processes_alike(tmp_path: Path, place: DataPlace) -> None:
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "p.png")
    crops = [Crop(str(tmp_path / "p.png"), (x, y, x + 1, y + 1)) for y in range(8) for x in range(8)]
    decoded = decode_files([*crops] * 32, place, DecodeRecipe((1, 1)))
    assert decoded.pixels.reshape(32, 64).tolist() == [list(range(64))] * 32


def test_the_same_files_cut_to_other_boxes_are_other_pictures_in_the_cache(tmp_path: Path, place: DataPlace) -> None:
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "p.png")
    for x in (0, 3):
        decoded = decode_files([Crop(str(tmp_path / "p.png"), (x, 0, x + 1, 1))], place, DecodeRecipe())
        assert decoded.pixels.tolist() == [[[[x]]]]


@pytest.mark.parametrize(
    ("header", "row", "reason"),
    [
        ("x_1", "1", "line 1: a box has the columns x_1, y_1, x_2, y_2; there is no y_1, x_2, y_2"),
        ("x_1,y_1,x_2,y_2", "0,0,4,", "line 2, column y_2: '' is no whole number of pixels"),
        ("x_1,y_1,x_2,y_2", "0,0,4,2.5", "line 2, column y_2: '2.5' is no whole number"),
        ("x_1,y_1,x_2,y_2", "-1,0,4,4", "line 2, column x_1: '-1' is no whole number"),
        ("x_1,y_1,x_2,y_2", "4,0,4,4", r"line 2, column x_1: the box 4,0,4,4 \(x_1,y_1,x_2,y_2\) holds no pixel"),
    ],
)
def test_a_box_that_is_not_whole_is_refused_by_name(
    write: Callable[[str], Path], header: str, row: str, reason: str
) -> None:
    with pytest.raises(DataError, match=reason):
        list_manifest(write(f"path,label,split,{header}\na1.png,a,train,{row}\n"))


ASKED = "path,label,split,is_query,is_gallery,sequence\na1.png,a,train,,,s9\nb1.png,b,train,,,s9\n"


def test_queries_that_would_find_their_own_sequence_are_refused_by_name(write: Callable[[str], Path]) -> None:
    own = "a2.png,a,test,1,1,s1\na3.png,a,test,1,1,s1\nb2.png,b,test,1,1,s2\nb3.png,b,test,1,1,s3\n"
    with pytest.raises(DataError, match="line 4, column sequence: 2 images asked have others of their own sequence"):
        list_manifest(write(ASKED + own))
    for harmless in (own.replace("a3.png,a,test,1,1,s1", "a3.png,a,test,1,1,s4"), own.replace("s1", "nan")):
        assert len(list_manifest(write(ASKED + harmless)).parts["query"]) == 4
    without_flags = (
        "path,label,split,sequence\na1.png,a,train,s9\nb1.png,b,train,s9\na2.png,a,test,s1\na3.png,a,test,s1\n"
    )
    with pytest.raises(DataError, match="column sequence"):
        list_manifest(write(without_flags))


def test_columns_that_nothing_reads_are_told_in_one_warning(
    write: Callable[[str], Path], place: DataPlace, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [line.split(",", 1) for line in PLAIN.splitlines()[1:]]
    path = write(",weather,path,label,split\n" + "".join(f"{n},c1,{a},{b}\n" for n, (a, b) in enumerate(rows)))
    found = collect(list_manifest(path), place, DecodeRecipe(), mirror=False)
    told = "columns that nothing reads: the one without a name, weather"
    assert told in found.notes
    assert [record.getMessage() for record in caplog.records if "nothing reads" in record.message] == [
        f"{path}: {told}"
    ]
    assert list_manifest(write(PLAIN)).warnings == ()


def test_a_column_that_is_there_twice_is_refused(write: Callable[[str], Path]) -> None:
    with pytest.raises(DataError, match="line 1: the column label is there twice; keep one, or rename it"):
        list_manifest(write("path,label,split,label\na1.png,a,train,b\n"))


def test_labels_and_paths_are_the_same_in_any_normal_form(tmp_path: Path, paint: Paint) -> None:
    composed, split_up = "caf\u00e9", "cafe\u0301"
    paint(tmp_path / split_up / f"{composed}.png")
    for name in ("a.png", "b.png", "c.png"):
        paint(tmp_path / name)
    (tmp_path / "df.csv").write_text(
        f"path,label,split\n{composed}/{split_up}.png,{split_up},train\na.png,tea,train\n"
        f"b.png,{composed} ,test\nc.png,tea,test\n",
        encoding="utf-8",
    )
    listing = list_manifest(tmp_path / "df.csv")
    assert listing.classes == (composed, "tea")
    assert listing.parts["train"].ids[0] == f"{split_up}/{composed}.png"  # as the disk has it


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "path;label;split\na1.png;a;train\n",
            "no column 'path'.*; its cells are separated by semicolons: save it with",
        ),
        ("path\tlabel\tsplit\n", "separated by tabs"),
        ("path,label,split\nsub\\a1.png,a,train\n", r"no such file: .*sub\\a1.png; write / for the \\ in it"),
        ("path,label,split\na1\0.png,a,train\n", "line 2: a zero byte in it"),
        ("path,label,split\n" + "x" * 5000 + ".png,a,train\n", "line 2, column path: no such file: .{200,320}$"),
    ],
)
def test_text_of_other_programs_is_refused_with_what_to_do(
    write: Callable[[str], Path], text: str, reason: str
) -> None:
    with pytest.raises(DataError, match=reason):
        list_manifest(write(text))
