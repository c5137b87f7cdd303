"""hf:<owner>/<name> and torchvision:<Class> load any classification set, and fail fast without a network."""

from __future__ import annotations

import importlib
import json
import operator
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.contract import Collection, DataError, DataPlace, UsageError
from bench.runs.run_plan import loader_for

Zipped = Callable[[Path, Mapping[str, bytes]], bytes]
Png = Callable[[int], bytes]
SHADES = {"ant": 10, "bee": 100, "cow": 200}


def assert_shades(collection: Collection, shades: Mapping[str, int] = SHADES) -> None:
    for part in collection.parts().values():
        found = part.images.take(slice(None))[:, 0, 0, 0]
        assert [shades[collection.classes[label]] for label in part.labels] == found.tolist()


def load(word: str, place: DataPlace, **options: Any) -> Any:
    plugin = {"hf": "hf", "torchvision": "torchvision_set"}[word.partition(":")[0]]
    return loader_for(word, {plugin: options}).load(place)


@pytest.fixture
def table(png: Png) -> Callable[..., None]:
    """Write a Parquet file as `datasets` does: a struct of bytes and path, class numbers, names in the metadata."""
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")

    def write(path: Path, count: int, *, image: str = "image", named: bool = True, **more: Any) -> None:
        numbers = [n % 3 for n in range(count)]
        shades = list(SHADES.values())
        columns: dict[str, Any] = {
            image: [{"bytes": png(shades[n]), "path": f"{row}.png"} for row, n in enumerate(numbers)],
            "label": [-1 if more.get("unlabelled") else n for n in numbers],
        }
        features: dict[str, Any] = {
            image: {"_type": "Image"},
            "label": {"names": list(SHADES), "_type": "ClassLabel"},
        }
        for name in more.get("second", ()):
            columns[name] = [0] * count
            features[name] = {"names": ["only"], "_type": "ClassLabel"}
        made = pa.table(columns)
        if named:
            made = made.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(made, path)

    return write


def test_parquet_files_give_parts_and_class_names(place: DataPlace, table: Callable[..., None], tmp_path: Path) -> None:
    folder = tmp_path / "root" / "someone" / "zoo" / "data"
    table(folder / "train-00000-of-00002.parquet", 6, image="img", second=("kind",))
    table(folder / "train-00001-of-00002.parquet", 3, image="img", second=("kind",))
    table(folder / "validation-00000-of-00001.parquet", 3, image="img", second=("kind",))
    table(folder / "test-00000-of-00001.parquet", 6, image="img", second=("kind",))
    collection = load("hf:someone/zoo", place)
    assert {name: len(part) for name, part in collection.parts().items()} == {"train": 9, "validation": 3, "test": 6}
    assert collection.classes == ("ant", "bee", "cow")
    assert collection.name == "hf-someone-zoo"
    assert collection.train.ids[7] == "train/00007"
    assert_shades(collection)
    assert load("hf:someone/zoo", place, resize="pad").train.images.files.resize.mode == "pad"


def test_class_names_come_from_the_readme_where_the_file_has_none(
    place: DataPlace, table: Callable[..., None], tmp_path: Path
) -> None:
    pytest.importorskip("yaml")
    folder = tmp_path / "root" / "someone" / "zoo"
    table(folder / "train" / "0000.parquet", 9, named=False)
    table(folder / "test" / "0000.parquet", 6, named=False)
    names = "".join(f"          '{n}': {name}\n" for n, name in enumerate(SHADES))
    head = f"dataset_info:\n  features:\n  - name: label\n    dtype:\n      class_label:\n        names:\n{names}"
    (folder / "README.md").write_text(f"---\n{head}---\n# Zoo\n")
    assert_shades(load("hf:someone/zoo", place))


def test_a_test_part_without_labels_is_left_out_and_one_cut(
    place: DataPlace, table: Callable[..., None], tmp_path: Path
) -> None:
    table(tmp_path / "root" / "someone" / "zoo" / "train.parquet", 30)
    table(tmp_path / "root" / "someone" / "zoo" / "test.parquet", 6, unlabelled=True)
    collection = load("hf:someone/zoo", place)
    assert (len(collection.train), len(collection.test)) == (21, 9)


def test_several_configurations_must_be_chosen_from(
    place: DataPlace, table: Callable[..., None], tmp_path: Path
) -> None:
    for config in ("large", "small"):
        table(tmp_path / "root" / "someone" / "zoo" / config / "train.parquet", 9)
        table(tmp_path / "root" / "someone" / "zoo" / config / "test.parquet", 6)
    with pytest.raises(DataError, match=r"which configuration.*large, small"):
        load("hf:someone/zoo", place)
    assert len(load("hf:someone/zoo", place, config="small").train) == 9


def test_a_damaged_parquet_file_and_a_wrong_column_are_refused_in_one_line(
    place: DataPlace, table: Callable[..., None], tmp_path: Path
) -> None:
    path = tmp_path / "root" / "someone" / "zoo" / "train.parquet"
    table(path, 9)
    with pytest.raises(DataError, match=r"no column 'labels'.*label"):
        load("hf:someone/zoo", place, label="labels")
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(DataError, match=r"train\.parquet: not a Parquet file") as caught:
        load("hf:someone/zoo", place)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("packed", ["folders", "one zip", "a zip a part", "a zip in a folder a part"])
def test_image_folders_load_as_they_are_and_from_archives(
    place: DataPlace, zipped: Zipped, png: Png, tmp_path: Path, packed: str
) -> None:
    folder = tmp_path / "root" / "someone" / "zoo"
    parts = {
        part: {f"{name}/{n}.png": png(shade) for name, shade in SHADES.items() for n in range(count)}
        for part, count in (("train", 4), ("test", 2))
    }
    whole = {f"{part}/{name}": content for part, files in parts.items() for name, content in files.items()}
    if packed == "one zip":
        zipped(folder / "data.zip", whole)
    elif packed == "a zip a part":
        for part, files in parts.items():
            zipped(folder / "data" / f"{part}.zip", files)
    elif packed == "a zip in a folder a part":
        for part, files in parts.items():
            zipped(folder / part / "images.zip", files)
    else:
        for name, content in whole.items():
            (folder / "data" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "data" / name).write_bytes(content)
    collection = load("hf:someone/zoo", place)
    assert (len(collection.train), len(collection.test)) == (12, 6)
    assert_shades(collection)


def test_without_a_network_the_hub_answers_at_once_in_one_line(
    place: DataPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    importlib.import_module("huggingface_hub").snapshot_download  # noqa: B018 - imports it, which is not what is timed
    online = replace(place, download=True)
    start = time.monotonic()
    with pytest.raises(DataError, match=r"HF_HUB_OFFLINE is set.*simbench fetch hf:someone/zoo") as caught:
        load("hf:someone/zoo", online)
    assert time.monotonic() - start < 1
    assert "\n" not in str(caught.value)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    start = time.monotonic()
    with pytest.raises(DataError, match=r"127\.0\.0\.1 (cannot be reached|does not answer).*simbench fetch"):
        load("hf:someone/zoo", online)
    assert time.monotonic() - start < 1


class OneSnapshot:
    """A Hub whose cache holds the first of two tables, until it is asked for all."""

    def __init__(self, cache: Path, table: Callable[..., None]) -> None:
        self.folder, self.table, self.downloads = cache / "snapshots" / "c0ffee", table, 0
        table(self.folder / "data" / "train-00000-of-00002.parquet", 12)

    HfApi = property(lambda self: lambda: self)

    def list_repo_files(self, *_: Any, **__: Any) -> list[str]:
        return ["data/train-00000-of-00002.parquet", "data/test-00000-of-00001.parquet"]

    def snapshot_download(self, *_: Any, local_files_only: bool = False, **__: Any) -> str:
        if not local_files_only:
            self.downloads += 1
            self.table(self.folder / "data" / "test-00000-of-00001.parquet", 6)
        return str(self.folder)


def test_part_of_a_snapshot_is_completed_once(
    place: DataPlace, table: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = OneSnapshot(tmp_path, table)
    monkeypatch.setitem(sys.modules, "huggingface_hub", fake)
    monkeypatch.setattr("bench.data.download.hub.hub_obstacle", lambda: "")
    online = replace(place, download=True)
    for _ in range(2):
        collection = load("hf:someone/zoo", online)
        assert (len(collection.train), len(collection.test)) == (12, 6)
    assert fake.downloads == 1


def test_part_of_a_snapshot_is_used_without_a_network_and_told(
    place: DataPlace,
    table: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    fake = OneSnapshot(tmp_path, table)
    monkeypatch.setitem(sys.modules, "huggingface_hub", fake)
    load("hf:someone/zoo", replace(place, download=False))
    assert "may be part of it" in caplog.text
    assert fake.downloads == 0


def test_without_the_extra_it_says_what_to_install(
    place: DataPlace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "root" / "someone" / "zoo").mkdir(parents=True)
    (tmp_path / "root" / "someone" / "zoo" / "train.parquet").write_bytes(b"PAR1")
    real = importlib.import_module

    def without(name: str, package: str | None = None) -> Any:
        if name.startswith(("pyarrow", "huggingface_hub")):
            raise ImportError(name)
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", without)
    for word in ("hf:someone/zoo", "hf:someone/other"):
        with pytest.raises(DataError, match=r"pip install 'simbench-retrieval\[hf\]'"):
            load(word, place)


@pytest.mark.parametrize("name", ["zoo", "a/b/c", "../../etc", ""])
def test_a_name_that_is_no_repository_is_refused(place: DataPlace, name: str) -> None:
    with pytest.raises(UsageError, match="hf:<owner>/<name>"):
        load(f"hf:{name}", place)


class Pairs:
    """A torchvision-like set of three shades."""

    classes = ("ant", "bee", "cow")

    def __init__(self, count: int, root: str) -> None:
        if not (Path(root) / "pairs").is_dir():
            raise RuntimeError("Dataset not found or corrupted.\nYou can use download=True to download it")
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, row: int) -> tuple[Image.Image, Any]:
        row = operator.index(row)
        shade = list(SHADES.values())[row % 3]
        return Image.fromarray(np.full((6, 6, 3), shade, np.uint8)), np.int64(row % 3)


class WithTrain(Pairs):
    def __init__(self, root: str, train: bool = True, download: bool = False) -> None:
        super().__init__(9 if train else 6, root)


class WithSplit(Pairs):
    def __init__(self, root: str, split: str = "train", download: bool = False) -> None:
        if split not in ("train", "val", "test"):
            raise ValueError(f"Unknown value '{split}' for argument split")
        super().__init__({"train": 9, "val": 3, "test": 6}[split], root)


class Whole(Pairs):
    def __init__(self, root: str) -> None:
        super().__init__(30, root)


@pytest.mark.parametrize(
    ("cls", "sizes"),
    [
        (WithTrain, {"train": 9, "test": 6}),
        (WithSplit, {"train": 9, "validation": 3, "test": 6}),
        (Whole, {"train": 21, "test": 9}),
    ],
)
def test_torchvisions_different_interfaces_give_the_same_parts(
    place: DataPlace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cls: Any, sizes: dict[str, int]
) -> None:
    from torchvision import datasets

    monkeypatch.setattr(datasets, cls.__name__, cls, raising=False)
    monkeypatch.setattr(datasets, "__all__", (*datasets.__all__, cls.__name__))
    with pytest.raises(DataError, match=rf"torchvision:{cls.__name__}: not found under .*--data-root") as caught:
        load(f"torchvision:{cls.__name__}", place)
    assert "\n" not in str(caught.value)
    (tmp_path / "root" / "pairs").mkdir(parents=True)
    collection = load(f"torchvision:{cls.__name__}", place)
    assert {name: len(part) for name, part in collection.parts().items()} == sizes
    assert_shades(collection)
    monkeypatch.setattr(Image.Image, "save", lambda *_, **__: pytest.fail("taken out again"))
    assert load(f"torchvision:{cls.__name__}", place).train.images.at((3, 3)).pixels.shape[1] == 3


def test_torchvisions_own_fake_data_loads(place: DataPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision import datasets

    monkeypatch.setattr(datasets.FakeData.__init__, "__defaults__", (40, (3, 8, 8), 2, None, None, 0))
    collection = load("torchvision:FakeData", place)
    assert (len(collection.train), len(collection.test)) == (28, 12)


def test_an_unknown_class_and_one_that_is_no_classification_are_refused(place: DataPlace, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"did you mean.*Flowers102"):
        load("torchvision:Flowers12", place)
    with pytest.raises(UsageError, match="needs more than a folder"):
        load("torchvision:CocoDetection", place)
    assert list(tmp_path.rglob("*.png")) == []
