"""Published files are found in every layout in use, and only accepted as published."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from bench.contract import DataError, DataPlace
from bench.data.download.download import Upstream, UpstreamFile, find, read_checked

CONTENTS = {"images": b"pictures" * 50, "labels": b"names" * 50}
LAYOUTS = ("toy", "Toy/raw", "to-y", ".")


def published(content: bytes) -> bytes:
    return gzip.compress(content, compresslevel=9, mtime=1)


UPSTREAM = Upstream(
    dataset="toy",
    files=tuple(
        UpstreamFile(name, hashlib.md5(published(content)).hexdigest(), hashlib.sha256(content).hexdigest())
        for name, content in CONTENTS.items()
    ),
    layouts=LAYOUTS,
)


def fill(folder: Path, *, gz: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in CONTENTS.items():
        (folder / (f"{name}.gz" if gz else name)).write_bytes(published(content) if gz else content)
    return folder


def contents(place: DataPlace) -> dict[str, bytes]:
    found = find(UPSTREAM, place)
    assert found is not None
    return {name: content for name, (content, _) in read_checked(UPSTREAM, found).items()}


@pytest.mark.parametrize("gz", [True, False], ids=["gzipped", "plain"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_is_found_gzipped_or_not(place: DataPlace, layout: str, gz: bool) -> None:
    assert place.root is not None
    fill(place.root / layout, gz=gz)
    assert contents(place) == CONTENTS


def test_the_data_root_comes_before_the_cache_and_the_distribution(place: DataPlace, tmp_path: Path) -> None:
    assert place.root is not None
    upstream = replace(UPSTREAM, distribution=(fill(tmp_path / "debian"),))
    for folder in (tmp_path / "debian", place.cache / "toy", place.root / "Toy/raw"):  # ever better places
        fill(folder)
        assert (find(upstream, place) or {})["images"].parent == folder


def test_a_folder_that_lacks_a_file_is_passed_over(place: DataPlace) -> None:
    assert place.root is not None
    (fill(place.root / "toy") / "labels.gz").unlink()
    assert find(UPSTREAM, place) is None
    fill(place.cache / "toy")
    assert contents(place) == CONTENTS


def test_the_same_content_compressed_anew_is_accepted(place: DataPlace) -> None:
    folder = fill(place.cache / "toy")
    anew = gzip.compress(CONTENTS["images"], compresslevel=1, mtime=99)
    assert anew != published(CONTENTS["images"])
    (folder / "images.gz").write_bytes(anew)
    assert contents(place) == CONTENTS


@pytest.mark.parametrize(
    "wrong",
    [gzip.compress(b"other"), published(CONTENTS["images"])[:-4], b"<html>"],
    ids=["other", "cut off", "a web page"],
)
def test_other_content_is_refused_in_one_line_with_what_to_do(place: DataPlace, wrong: bytes) -> None:
    path = fill(place.cache / "toy") / "images.gz"
    path.write_bytes(wrong)
    with pytest.raises(DataError) as caught:
        contents(place)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "delete it and run `simbench fetch toy`" in message
    assert "\n" not in message


def test_a_refusal_names_both_sums(place: DataPlace) -> None:
    (fill(place.cache / "toy") / "images.gz").write_bytes(gzip.compress(b"other"))
    with pytest.raises(DataError, match=f"md5 {UPSTREAM.files[0].md5} .*sha256 {UPSTREAM.files[0].sha256}"):
        contents(place)


def test_each_file_is_read_once(place: DataPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(place.cache / "toy")
    read: list[Path] = []
    original = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read.append(path) or original(path))  # type: ignore[func-returns-value] # append gives None, so that `or` goes on
    contents(place)
    assert len(read) == len(set(read)) == 2
