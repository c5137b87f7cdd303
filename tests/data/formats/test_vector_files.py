"""One set of vectors, labels and ids comes back the same from every kind of file, and a wrong file is told."""

from __future__ import annotations

import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_tensors

from bench.contract import DataError, UsageError
from bench.data.formats import vector_files
from bench.data.formats.vector_files import read_names, read_vectors

pa: Any = pytest.importorskip("pyarrow")
pq: Any = pytest.importorskip("pyarrow.parquet")

VECTORS = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)
LABELS = np.array(["ant", "bee", "ant", "cat", "bee", "ant"])


def write_vectors(folder: Path) -> dict[str, str]:
    np.save(folder / "v.npy", VECTORS)
    np.savez(folder / "v.npz", query=VECTORS, gallery=VECTORS + 1, labels=LABELS)
    save_file({"gallery": VECTORS}, folder / "v.safetensors")
    rows = pa.array(VECTORS.tolist(), pa.list_(pa.float32()))
    fixed = pa.array(VECTORS.tolist(), pa.list_(pa.float32(), 3))
    pq.write_table(pa.table({"vector": rows, "label": LABELS.tolist()}), folder / "lists.parquet")
    pq.write_table(pa.table({"a": fixed, "b": fixed}), folder / "fixed.parquet")
    columns: dict[str, Any] = {f"d{i}": VECTORS[:, i] for i in range(3)} | {"label": LABELS.tolist(), "id": range(6)}
    pq.write_table(pa.table({name: pa.array(values) for name, values in columns.items()}), folder / "flat.parquet")
    names = ("v.npy", "v.npz:query", "v.safetensors", "lists.parquet", "fixed.parquet:b", "flat.parquet")
    return {name: str(folder / name) for name in names}


def test_vectors_are_the_same_from_every_kind_of_file(tmp_path: Path) -> None:
    for name, word in write_vectors(tmp_path).items():
        np.testing.assert_array_equal(np.asarray(read_vectors(word)), VECTORS, err_msg=name)


def test_npy_is_mapped_and_not_read(tmp_path: Path) -> None:
    assert isinstance(read_vectors(write_vectors(tmp_path)["v.npy"]), np.memmap)


def test_bfloat16_comes_as_a_tensor(tmp_path: Path) -> None:
    save_tensors({"v": torch.from_numpy(VECTORS).to(torch.bfloat16)}, tmp_path / "half.safetensors")
    found = read_vectors(str(tmp_path / "half.safetensors"))
    assert isinstance(found, torch.Tensor)
    np.testing.assert_allclose(found.float().numpy(), VECTORS, rtol=0.01)


def test_labels_are_the_same_from_every_kind_of_file(tmp_path: Path) -> None:
    write_vectors(tmp_path)
    np.save(tmp_path / "y.npy", LABELS)
    (tmp_path / "y.txt").write_text("\n".join(LABELS) + "\n", encoding="utf-8")
    lines = "".join(f"{i},{name}\n" for i, name in enumerate(LABELS))
    (tmp_path / "y.csv").write_text("\ufeffid,label\n" + lines, encoding="utf-8")
    (tmp_path / "one.csv").write_text("what\n" + "\n".join(LABELS), encoding="utf-8")
    for name in ("y.npy", "v.npz", "y.txt", "y.csv", "y.csv:label", "one.csv", "lists.parquet", "flat.parquet"):
        np.testing.assert_array_equal(np.asarray(read_names(str(tmp_path / name), "label")), LABELS, err_msg=name)
    assert np.asarray(read_names(str(tmp_path / "y.csv"), "id")).tolist() == list("012345")
    assert np.asarray(read_names(str(tmp_path / "flat.parquet"), "id")).tolist() == list(range(6))


@pytest.mark.parametrize(
    ("word", "complaint", "kind"),
    [
        ("v.npz", "holds several: which one? Give v.npz:KEY (found: query, gallery)", UsageError),
        ("v.npz:gallry", "did you mean 'gallery'?", UsageError),
        ("v.npy:query", "leave out ':query'", UsageError),
        ("v.safetensors:query", "(found: gallery)", UsageError),
        ("fixed.parquet", "which one? Give fixed.parquet:KEY (found: a, b)", UsageError),
        ("gone.npy", "no such file", DataError),
        ("gone.npz:query", "no such file", DataError),
        ("notes.md", "expected one of .npy", UsageError),
        ("broken.npy", "broken.npy: cannot be read", DataError),
        ("broken.npz", "broken.npz: cannot be read", DataError),
        ("broken.safetensors", "broken.safetensors: cannot be read", DataError),
        ("broken.parquet", "not a Parquet file that can be read", DataError),
        ("objects.npy", "objects.npy: cannot be read", DataError),
        ("ragged.parquet", "have 1 to 2 dimensions", DataError),
        ("holes.parquet", "has 1 empty rows", DataError),
        ("names.parquet", "nothing of the right shape", DataError),
        ("misnamed.npz", "an npy file, by its content", DataError),
        ("empty.parquet", "has no rows", DataError),
        (r"C:\data\v.npy", r"no such file: C:\data\v.npy", DataError),
    ],
)
def test_a_wrong_file_or_key_is_told_in_one_line(tmp_path: Path, word: str, complaint: str, kind: type) -> None:
    write_vectors(tmp_path)
    for name in ("notes.md", "broken.npy", "broken.npz", "broken.safetensors", "broken.parquet"):
        (tmp_path / name).write_text("no vectors here", encoding="utf-8")
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object))
    (tmp_path / "misnamed.npz").write_bytes((tmp_path / "v.npy").read_bytes())
    for name, rows in (("empty", []), ("ragged", [[1.0], [1.0, 2.0]]), ("holes", [[1.0], None])):
        pq.write_table(pa.table({"v": pa.array(rows, pa.list_(pa.float32()))}), tmp_path / f"{name}.parquet")
    pq.write_table(pa.table({"v": ["a"]}), tmp_path / "names.parquet")
    with pytest.raises(kind) as told:
        read_vectors(word if word.startswith("C:") else str(tmp_path / word))
    assert complaint in str(told.value)
    assert len(str(told.value).splitlines()) == 1


def test_a_column_of_names_with_holes_or_two_candidates_is_told(tmp_path: Path) -> None:
    pq.write_table(pa.table({"label": ["a", None]}), tmp_path / "holes.parquet")
    (tmp_path / "two.csv").write_text("colour,shape\nred,round\n", encoding="utf-8")
    (tmp_path / "empty.csv").write_text("", encoding="utf-8")
    asked: dict[str, Callable[[], Any]] = {
        "has 1 empty rows": lambda: read_names(str(tmp_path / "holes.parquet"), "label"),
        "which one? Give two.csv:KEY (found: colour, shape)": lambda: read_names(str(tmp_path / "two.csv"), "label"),
        "nothing of the right shape": lambda: read_names(str(tmp_path / "empty.csv"), "label"),
    }
    for complaint, ask in asked.items():
        with pytest.raises((DataError, UsageError)) as told:
            ask()
        assert complaint in str(told.value)


def test_categories_are_names_and_a_table_of_one_endless_field_is_refused(tmp_path: Path) -> None:
    column = pa.array(["a", "b", "a"]).dictionary_encode()
    pq.write_table(pa.table({"label": column}), tmp_path / "categories.parquet")
    assert np.asarray(read_names(str(tmp_path / "categories.parquet"), "label")).tolist() == ["a", "b", "a"]
    (tmp_path / "endless.csv").write_text("label\n" + "x" * 200_000, encoding="utf-8")
    with pytest.raises(DataError, match=r"endless\.csv: line 2: not valid CSV .*field"):
        read_names(str(tmp_path / "endless.csv"), "label")


def test_a_csv_of_one_column_of_numbers_needs_no_header(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("3\n0\n3\n")
    assert np.asarray(read_names(str(tmp_path / "labels.csv"), "label")).tolist() == ["3", "0", "3"]


CLEAN = ["caf\u00e9", "tea", "caf\u00e9"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("clean.csv", "label\ncaf\u00e9\ntea\ncaf\u00e9\n"),
        ("trailing.csv", "label\ncaf\u00e9 \n tea\ncafe\u0301\n"),
        ("after_comma.csv", "id, label\n0, caf\u00e9\n1, tea\n2, caf\u00e9\n"),
        ("mac.csv", "\ufefflabel\r\ncaf\u00e9\r\ntea\t\r\ncafe\u0301\r\n"),
        ("nbsp.txt", "caf\u00e9\u00a0\ntea\ncafe\u0301\n\n\n"),
        ("windows.txt", "\ufeffcaf\u00e9\r\ntea\r\ncaf\u00e9 \r\n"),
    ],
)
def test_names_are_stripped_and_in_one_normal_form_in_text(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_bytes(text.encode())
    assert np.asarray(read_names(str(tmp_path / name), "label")).tolist() == CLEAN


def test_names_are_stripped_and_in_one_normal_form_in_arrays(tmp_path: Path) -> None:
    odd = np.array(["cafe\u0301 ", " tea", "caf\u00e9"])
    np.save(tmp_path / "y.npy", odd)
    np.savez(tmp_path / "y.npz", label=odd)
    pq.write_table(pa.table({"label": odd.tolist()}), tmp_path / "y.parquet")
    for name in ("y.npy", "y.npz", "y.parquet"):
        assert np.asarray(read_names(str(tmp_path / name), "label")).tolist() == CLEAN


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("twice.csv", "label,id,label\na,0,b\n", "line 1: the column label is there twice; keep one, or rename it"),
        ("empty.csv", "id,label\n0,a\n1, \n2,a\n", "line 3: an empty name"),
        ("short.csv", "id,label\n0,a\n1\n2,b\n", "line 3: 1 values for 2 columns"),
        ("long.csv", "id,label\n0,a\n1,b,c\n", "line 3: 3 values for 2 columns; quote those with a comma"),
        ("zero.csv", "label\na\0b\n", "line 2: a zero byte"),
        ("blank.txt", "a\n\nb\n", "line 2: an empty name; fill it, or leave its vector out too"),
        ("latin.txt", b"tea\ncaf\xe9\n", "line 2: not UTF-8 text"),
        ("latin.csv", b"label\ncaf\xe9\n", "line 2: not UTF-8 text"),
        ("late.csv", b"label\n" + b"tea\n" * 9000 + b"\xed\xa0\x80\n", "line 9002: not UTF-8 text"),
        ("zero.txt", "a\na\0\n", "line 2: 'a\\\\x00' has a zero byte in it; mend it"),
        ("unclosed.csv", 'label\n"a\nb\n', "not valid CSV"),
    ],
)
def test_rows_that_could_shift_labels_are_refused(tmp_path: Path, name: str, text: str | bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(DataError, match=reason):
        read_names(str(tmp_path / name), "label")


def test_an_empty_name_in_an_array_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "y.npy", np.array(["a", " ", "b"]))
    with pytest.raises(DataError, match="row 2: an empty name"):
        read_names(str(tmp_path / "y.npy"), "label")


def header(shape: str) -> bytes:
    """The first bytes of an npy file that says it has a shape."""
    return (
        b"\x93NUMPY\x01\x00\x76\x00"
        + f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}".encode().ljust(117)
        + b"\n"
    )


def hostile(folder: Path) -> None:
    (folder / "unclosed.npy").write_bytes(header("(20, 4)") + bytes(320))
    (folder / "deep.npy").write_bytes(b"\x93NUMPY\x02\x00" + struct.pack("<I", 9000) + b"(" * 8999 + b"\n")
    (folder / "huge.npy").write_bytes(header("(100000000000, 400000000), }") + bytes(320))
    with zipfile.ZipFile(folder / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("v.npy", header("(3000000000, 4), }") + bytes(1 << 20))
    with zipfile.ZipFile(folder / "texts.npz", "w") as archive:
        archive.writestr("a.txt", "hello")
        archive.writestr("v.npy", "not npy")
    np.savez(folder / "objects.npz", v=np.array([[{}]], dtype=object))
    save_tensors({"v": torch.ones(20, 4).to(torch.float8_e4m3fn)}, folder / "tiny.safetensors")
    (folder / "deep.safetensors").write_bytes(struct.pack("<Q", 100_000) + b"[" * 100_000)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("unclosed.npy", "unclosed.npy: cannot be read"),
        ("deep.npy", "deep.npy: cannot be read"),
        ("huge.npy", "huge.npy: cannot be read"),
        ("bomb.npz", "v.npy is not as large as its header says"),
        ("texts.npz", "nothing of the right shape in it"),
        ("objects.npz", "objects.npz: cannot be read .*allow_pickle"),
        ("tiny.safetensors", "'v' has numbers of kind F8_E4M3; save them as float16 or float32"),
        ("deep.safetensors", "deep.safetensors: cannot be read"),
    ],
)
def test_a_hostile_file_of_vectors_is_refused_in_one_line(tmp_path: Path, name: str, reason: str) -> None:
    hostile(tmp_path)
    with pytest.raises(DataError, match=reason) as told:
        read_vectors(str(tmp_path / name))
    assert len(str(told.value).splitlines()) == 1


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_files, "BOMB_BYTES", 1 << 16)
    np.savez_compressed(tmp_path / "bomb.npz", v=np.zeros((1 << 16, 4), np.float32), readme=np.zeros(3))
    with pytest.raises(DataError, match=r"v\.npy is a bomb"):
        read_vectors(str(tmp_path / "bomb.npz"))


def test_other_members_of_an_archive_are_passed_over(tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", v=VECTORS)
    with zipfile.ZipFile(tmp_path / "v.npz", "a") as archive:
        archive.writestr("readme.txt", "hello")
    np.testing.assert_array_equal(np.asarray(read_vectors(str(tmp_path / "v.npz"))), VECTORS)


def test_a_column_that_a_parquet_file_has_twice_is_refused(tmp_path: Path) -> None:
    pq.write_table(
        pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["label", "label"]), tmp_path / "y.parquet"
    )
    with pytest.raises(DataError, match="the column 'label' is there twice; keep one, or rename it"):
        read_names(str(tmp_path / "y.parquet"), "label")


@pytest.mark.parametrize(
    ("odd", "reason"), [("a\0b", "has a zero byte in it"), ("a\ud800", "has half a character in it")], ids=ascii
)
def test_names_in_arrays_that_are_no_text_are_refused_by_their_row(tmp_path: Path, odd: str, reason: str) -> None:
    names = np.array(["a", odd, "b"])
    np.save(tmp_path / "y.npy", names)
    np.savez(tmp_path / "y.npz", id=names)
    for name in ("y.npy", "y.npz"):
        with pytest.raises(DataError, match=rf"{name}: row 2: {re.escape(ascii(odd))} {reason}"):
            read_names(str(tmp_path / name), "id")


def text_column(values: list[str]) -> Any:
    """A column of text with bytes that pyarrow itself would not write, as other programs do."""
    column = pa.array([value.encode("utf-8", "surrogatepass") for value in values], pa.binary())
    return pa.Array.from_buffers(pa.string(), len(values), column.buffers())


def test_names_in_parquet_that_are_no_text_are_refused_by_their_row_and_never_cut(tmp_path: Path) -> None:
    for odd, reason in (("a\0", r"row 2: 'a\\x00' has a zero byte"), ("\ud800", "row 2, column id: not UTF-8 text")):
        pq.write_table(pa.table({"id": text_column(["a", odd])}), tmp_path / "y.parquet")
        with pytest.raises(DataError, match=f"y.parquet: {reason}"):
            read_names(str(tmp_path / "y.parquet"), "id")
