"""CIFAR, SVHN and STL-10 load from small files in their published formats; nothing in a file is executed."""

from __future__ import annotations

import gzip
import io
import os
import pickle
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import savemat

from bench.contract import DataError, DataPlace
from bench.options import build
from bench.registry import get_dataset

TarGz = Callable[[Path, Mapping[str, bytes]], bytes]
Md5 = Callable[[bytes], str]
Expect = Callable[[str, Mapping[str, bytes]], Any]


def colourful(numbers: NDArray[np.integer], side: int) -> NDArray[np.uint8]:
    """Images whose red is their number, whose green grows with the row and whose blue with the column."""
    images = np.zeros((len(numbers), side, side, 3), np.uint8)
    images[..., 0] = numbers[:, None, None]
    images[..., 1] = np.arange(side)[None, :, None]
    images[..., 2] = np.arange(side)[None, None, :]
    return images


def cifar_batch(numbers: NDArray[np.integer], labels: Mapping[str, list[int]]) -> bytes:
    rows = colourful(numbers, 32).transpose(0, 3, 1, 2).reshape(len(numbers), -1)
    entry = {b"batch_label": b"a batch", b"data": rows.copy(), **{key.encode(): one for key, one in labels.items()}}
    return pickle.dumps(entry, protocol=2)


def cifar10_files() -> dict[str, bytes]:
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    files = {"batches.meta": pickle.dumps({"label_names": names, "num_vis": 3072}, protocol=2)}
    for batch in range(5):
        numbers = np.arange(batch * 4, batch * 4 + 4)
        files[f"data_batch_{batch + 1}"] = cifar_batch(numbers, {"labels": [int(one) % 10 for one in numbers]})
    files["test_batch"] = cifar_batch(np.arange(3), {"labels": [9, 8, 7]})
    return files


def cifar100_files() -> dict[str, bytes]:
    meta = {
        "fine_label_names": [f"fine{number}" for number in range(100)],
        "coarse_label_names": [f"coarse{number}" for number in range(20)],
    }
    files = {"meta": pickle.dumps(meta, protocol=2)}
    for part, n in (("train", 6), ("test", 3)):
        labels = {"fine_labels": list(range(90, 90 + n)), "coarse_labels": list(range(n))}
        files[part] = cifar_batch(np.arange(n), labels)
    return files


@pytest.fixture
def expect(monkeypatch: pytest.MonkeyPatch, md5: Md5) -> Expect:
    """Let a loader of a bundle expect these files."""

    def change(name: str, files: Mapping[str, bytes]) -> Any:
        cls: Any = get_dataset(name)
        expected = tuple(replace(file, md5=md5(files[file.name])) for file in cls.bundle.files)
        monkeypatch.setattr(cls, "bundle", replace(cls.bundle, files=expected))
        return cls

    return change


def write_archive(cls: Any, files: Mapping[str, bytes], root: Path, tar_gz: TarGz) -> Path:
    path = root / str(cls.bundle.archive.files[0].name)
    tar_gz(path, {f"{cls.bundle.folder}/{name}": content for name, content in files.items()})
    return path


def assert_colourful(pixels: NDArray[np.uint8], numbers: list[int]) -> None:
    np.testing.assert_array_equal(pixels, colourful(np.array(numbers), pixels.shape[1]))


@pytest.mark.parametrize("packed", [True, False], ids=["archive", "unpacked"])
def test_cifar10_loads_from_its_archive_and_unpacked(
    place: DataPlace, expect: Expect, tar_gz: TarGz, tmp_path: Path, packed: bool
) -> None:
    files = cifar10_files()
    cls = expect("cifar10", files)
    root = tmp_path / "root"
    if packed:
        where = write_archive(cls, files, root, tar_gz)
    else:
        where = root / "cifar10" / "cifar-10-batches-py"
        where.mkdir(parents=True)
        for name, content in files.items():
            (where / name).write_bytes(content)
    collection = cls().load(place)
    assert (len(collection.train), len(collection.test)) == (20, 3)
    assert collection.classes[:2] == ("airplane", "automobile")
    assert collection.mirror
    assert collection.test.labels.tolist() == [9, 8, 7]
    assert collection.train.ids[13] == "train/00013"
    assert collection.train.labels[13] == 3
    assert_colourful(collection.train.images.take(slice(None)), list(range(20)))
    assert cls().fetch(place) == where


def test_cifar100_has_fine_and_coarse_labels(place: DataPlace, expect: Expect, tar_gz: TarGz, tmp_path: Path) -> None:
    files = cifar100_files()
    cls = expect("cifar100", files)
    write_archive(cls, files, tmp_path / "root" / "cifar100", tar_gz)
    fine: Any = cls().load(place)
    coarse: Any = build(cls, {"coarse": "yes"}, owner="cifar100").load(place)
    assert (len(fine.classes), len(coarse.classes)) == (100, 20)
    assert (fine.name, coarse.name) == ("cifar100", "cifar100-coarse")
    assert (fine.train.labels.tolist(), coarse.test.labels.tolist()) == ([90, 91, 92, 93, 94, 95], [0, 1, 2])


def test_a_cifar_archive_that_is_cut_off_or_of_another_set_is_refused_in_one_line(
    place: DataPlace, expect: Expect, tar_gz: TarGz, tmp_path: Path
) -> None:
    files = cifar10_files()
    cls = expect("cifar10", files)
    path = write_archive(cls, files, tmp_path / "root", tar_gz)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cifar-10-python\.tar\.gz: a damaged archive") as caught:
        cls().load(place)
    assert "\n" not in str(caught.value)
    write_archive(cls, {"data_batch_1": files["data_batch_1"]}, tmp_path / "root", tar_gz)
    with pytest.raises(DataError, match=r"lacks batches\.meta, data_batch_2"):
        cls().load(place)
    write_archive(cls, {**files, "test_batch": files["data_batch_1"]}, tmp_path / "root", tar_gz)
    with pytest.raises(DataError, match=r"its test_batch has not the md5 .*simbench fetch cifar10"):
        cls().load(place)


class Evil:
    """A pickle that, read by pickle itself, writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_a_malicious_pickle_is_refused_though_its_checksum_be_right(
    place: DataPlace, expect: Expect, tar_gz: TarGz, tmp_path: Path
) -> None:
    files = cifar10_files()
    files["data_batch_3"] = pickle.dumps({"data": Evil(tmp_path / "executed"), "labels": [1]}, protocol=2)
    cls = expect("cifar10", files)
    write_archive(cls, files, tmp_path / "root", tar_gz)
    with pytest.raises(DataError, match=r"data_batch_3: refused, .*asks for (posix|nt).mkdir") as caught:
        cls().load(place)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        b"cnumpy\nload\n.",
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"c_codecs\nencode\n(S'x'\nS'zlib'\ntR.",
        pickle.dumps({"data": np.array([print, len], object)}, protocol=2),
        pickle.dumps({"data": np.zeros((1, 3072)), "labels": [0]}, protocol=2),
        pickle.dumps({"data": np.zeros(3, complex)}, protocol=2),
        pickle.dumps([1, 2]),
        pickle.dumps({"data": 1})[:-4],
        b"",
    ],
)
def test_a_pickle_of_anything_but_plain_data_is_refused(
    wrong: bytes, place: DataPlace, expect: Expect, tar_gz: TarGz, tmp_path: Path
) -> None:
    files = cifar10_files() | {"test_batch": wrong}
    cls = expect("cifar10", files)
    write_archive(cls, files, tmp_path / "root", tar_gz)
    with pytest.raises(DataError, match=r"test_batch: (refused|holds a|its data is not)") as caught:
        cls().load(place)
    assert "\n" not in str(caught.value)


def test_python_2_pickles_are_read(place: DataPlace, expect: Expect, tar_gz: TarGz, tmp_path: Path) -> None:
    names = b"".join(f"S'kind {number}'\na".encode() for number in range(10))
    files = cifar10_files() | {"batches.meta": b"(dp0\nS'num_vis'\nI3072\nsS'label_names'\np3\n(lp4\n" + names + b"s."}
    cls = expect("cifar10", files)
    write_archive(cls, files, tmp_path / "root", tar_gz)
    assert cls().load(place).classes == tuple(f"kind {number}" for number in range(10))


def svhn_file(n: int, first: int) -> bytes:
    written = io.BytesIO()
    labels = (np.arange(first, first + n) % 10).astype(np.uint8)
    labels[labels == 0] = 10
    images = colourful(np.arange(n), 32).transpose(1, 2, 3, 0)
    savemat(written, {"X": images, "y": labels[:, None]})
    return written.getvalue()


@pytest.fixture
def svhn(monkeypatch: pytest.MonkeyPatch, md5: Md5, tmp_path: Path) -> Any:
    """Put the three files under the data root, and let the loader expect them."""
    cls: Any = get_dataset("svhn")
    files = {"train_32x32.mat": svhn_file(12, 0), "test_32x32.mat": svhn_file(5, 1), "extra_32x32.mat": svhn_file(4, 3)}
    expected = tuple(replace(file, md5=md5(files[file.name])) for file in cls.upstream.files)
    monkeypatch.setattr(cls, "upstream", replace(cls.upstream, files=expected))
    for name, content in files.items():
        (tmp_path / "root" / name).write_bytes(content)
    return cls


def test_svhns_matlab_files_give_digits(place: DataPlace, svhn: Any) -> None:
    collection = svhn().load(place)
    assert (len(collection.train), len(collection.test)) == (12, 5)
    assert collection.classes == tuple("0123456789")
    assert collection.train.labels.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert not collection.mirror
    assert_colourful(collection.train.images.take(slice(None)), list(range(12)))
    more: Any = svhn(extra=True).load(place)
    assert len(more.train) == 16
    assert more.train.ids[12] == "extra/00000"


def test_svhn_loads_without_the_extra_file(place: DataPlace, svhn: Any, tmp_path: Path) -> None:
    (tmp_path / "root" / "extra_32x32.mat").unlink()
    assert len(svhn().load(place).train) == 12
    with pytest.raises(DataError, match=r"lacks extra_32x32\.mat"):
        svhn(extra=True).load(place)


@pytest.mark.parametrize(
    "wrong",
    [
        (b"MATLAB 7.3 MAT-file, Platform: GLNXA64" + bytes(600), r"not a MATLAB file of version 5 \(version 7\.3"),
        (svhn_file(12, 0)[:-500], "a damaged MATLAB file"),
        (b"MATLAB 5.0 MAT-file" + bytes(400), "a damaged MATLAB file|holds no numbers"),
        (b"<html>moved</html>", "not a MATLAB file"),
    ],
    ids=["7.3", "cut off", "empty", "html"],
)
def test_other_and_damaged_matlab_files_are_refused_though_the_checksum_be_right(
    place: DataPlace, svhn: Any, md5: Md5, monkeypatch: pytest.MonkeyPatch, wrong: tuple[bytes, str]
) -> None:
    content, complaint = wrong
    (place.cache.parent / "root" / "train_32x32.mat").write_bytes(content)
    with pytest.raises(DataError, match="it has not the md5"):
        svhn().load(place)
    files = tuple(replace(f, md5=md5(content)) if f.name.startswith("train") else f for f in svhn.upstream.files)
    monkeypatch.setattr(svhn, "upstream", replace(svhn.upstream, files=files))
    with pytest.raises(DataError, match=complaint) as caught:
        svhn().load(place)
    assert "\n" not in str(caught.value)


def stl10_files() -> dict[str, bytes]:
    files = {}
    for part, n in (("train", 4), ("test", 6)):
        files[f"{part}_X.bin"] = colourful(np.arange(n), 96).transpose(0, 3, 2, 1).tobytes()
        files[f"{part}_y.bin"] = bytes(range(1, n + 1))
    return files


def test_stl10s_binaries_go_column_by_column_and_are_kept_unpacked(
    place: DataPlace, expect: Expect, tar_gz: TarGz, tmp_path: Path
) -> None:
    files = stl10_files()
    cls = expect("stl10", files)
    path = write_archive(cls, {"unlabeled_X.bin": bytes(1000), **files}, tmp_path / "root", tar_gz)
    collection = cls().load(place)
    assert (len(collection.train), len(collection.test)) == (4, 6)
    assert collection.classes[collection.test.labels[5]] == "dog"
    assert_colourful(collection.test.images.take(slice(None)), list(range(6)))
    path.unlink()
    np.testing.assert_array_equal(cls().load(place).train.images.pixels, collection.train.images.pixels)


def test_stl10_files_of_another_length_are_refused(
    place: DataPlace, expect: Expect, tar_gz: TarGz, tmp_path: Path
) -> None:
    files = stl10_files()
    files["train_X.bin"] = files["train_X.bin"][:-1]
    write_archive(expect("stl10", files), files, tmp_path / "root", tar_gz)
    loader: Any = get_dataset("stl10")()
    with pytest.raises(DataError, match=r"train_X\.bin: 110591 bytes are not whole images"):
        loader.load(place)


@pytest.mark.parametrize("name", ["CIFAR10", "CIFAR100", "STL10"])
def test_the_md5_sums_of_archives_and_members_are_torchvisions(name: str) -> None:
    from torchvision import datasets

    theirs, cls = getattr(datasets, name), get_dataset(name.lower())
    ours: Any = cls
    assert (ours.bundle.archive.files[0].name, ours.bundle.archive.files[0].md5) == (theirs.filename, theirs.tgz_md5)
    assert ours.bundle.folder == theirs.base_folder
    listed = dict([*theirs.train_list, *theirs.test_list])
    if hasattr(theirs, "meta"):
        listed[theirs.meta["filename"]] = theirs.meta["md5"]
    listed.pop("unlabeled_X.bin", None)
    assert {file.name: file.md5 for file in ours.bundle.files} == listed


def test_svhns_md5_sums_are_torchvisions() -> None:
    from torchvision.datasets import SVHN

    cls: Any = get_dataset("svhn")
    assert {f.name: f.md5 for f in cls.upstream.files} == {name: md5 for _, name, md5 in SVHN.split_list.values()}


@pytest.mark.parametrize("name", ["mnist", "kmnist", "emnist", "cifar10", "cifar100", "svhn", "stl10"])
def test_what_is_nowhere_is_told_in_one_line_with_the_ways_out(place: DataPlace, name: str) -> None:
    loader: Any = get_dataset(name)()
    for act in (loader.load, loader.fetch):
        with pytest.raises(DataError, match=f"{name}: not found under .*simbench fetch {name}.*--data-root") as caught:
            act(place)
        assert "\n" not in str(caught.value)


def test_a_gzip_that_is_no_tar_is_refused(place: DataPlace, tmp_path: Path) -> None:
    (tmp_path / "root" / "cifar-10-python.tar.gz").write_bytes(gzip.compress(b"hello" * 1000))
    loader: Any = get_dataset("cifar10")()
    with pytest.raises(DataError, match="a damaged archive"):
        loader.load(place)
