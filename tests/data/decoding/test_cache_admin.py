"""The cache can be listed, verified and pruned."""

from __future__ import annotations

import io
import os
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from filelock import FileLock

from bench.cli import cli
from bench.contract import DataPlace, UsageError
from bench.data.audit.duplicates import Copies, save_copies
from bench.data.decoding.cache_admin import cache_items, problem_of, remove
from bench.data.decoding.decode import DecodeRecipe, decode_files
from bench.data.formats.archives import unpack_archive
from bench.search.gallery_index import Index, write_index
from bench.training.checkpoints import FolderCheckpoints

Paint = Callable[..., Path]


@pytest.fixture
def filled(tmp_path: Path, place: DataPlace, paint: Paint) -> Path:
    """A cache with three entries, used one, ten and a hundred days ago, and a decode that was cut off."""
    files = [paint(tmp_path / "x" / f"{n}.png", n, mode="L") for n in range(20)]
    for side, days in ((8, 100), (16, 10), (32, 1)):
        decode_files(files, place, DecodeRecipe(size=(side, side)), what=f"set of {side}")
        for one in cache_items(place.cache):
            if one.what == f"set of {side}":
                then = time.time() - days * 86_400
                os.utime(one.folder / "entry.json", (then, then))
    (place.cache / "decoded" / "under-way" / "abc").mkdir()
    (place.cache / "downloads").mkdir()
    (place.cache / "downloads" / "mine.gz").touch()
    return place.cache


def run(*arguments: str) -> str:
    result = CliRunner().invoke(cli, ["cache", *arguments], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.output + f"exit {result.return_value or 0}"


def test_the_list_tells_what_and_how_large_and_when_used(filled: Path) -> None:
    lines = run("list", "--cache", str(filled)).splitlines()
    assert [line.split("  ")[-1] for line in lines[1:4]] == ["set of 32", "set of 16", "set of 8"]
    assert "under way" in lines[0]
    assert all("20 images" in line and f"used {time.strftime('%Y')}" in line for line in lines[1:3])
    assert lines[-2].startswith("4 entries, ")


def test_the_cache_of_the_environment_is_meant_where_none_is_given(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIMBENCH_CACHE", str(filled))
    assert run("list") == run("list", "--cache", str(filled))


def test_verify_finds_one_changed_byte(filled: Path) -> None:
    assert run("verify", "--cache", str(filled)).endswith("exit 0")
    entry = next(one for one in cache_items(filled) if one.what == "set of 16")
    with (entry.folder / "pixels.npy").open("r+b") as file:
        file.seek(128 + 7 * 256)
        file.write(b"\x99")
    output = run("verify", "--cache", str(filled))
    assert output.endswith("exit 1")
    assert "set of 16: pixels.npy: images 0 to 19 are not what was written" in output
    assert output.count("FAILED") == 1


@pytest.mark.parametrize("harm", ["shorter", "gone", "no facts"])
def test_verify_finds_an_entry_that_is_not_whole(filled: Path, harm: str) -> None:
    entry = next(one for one in cache_items(filled) if one.what == "set of 16")
    if harm == "shorter":
        os.truncate(entry.folder / "pixels.npy", 1000)
    elif harm == "gone":
        (entry.folder / "pixels.npy").unlink()
    else:
        (entry.folder / "entry.json").write_text("[]")
    assert problem_of(entry) is not None
    assert run("verify", "--cache", str(filled)).endswith("exit 1")


def test_prune_by_age_by_size_and_everything_and_nothing_else(filled: Path, tmp_path: Path) -> None:
    def left() -> set[str]:
        return {one.what for one in cache_items(filled)}

    with pytest.raises(UsageError, match="say what to remove"):
        run("prune", "--cache", str(filled))
    with pytest.raises(UsageError, match="expected a number of bytes"):
        run("prune", "--cache", str(filled), "--to-size", "much")
    output = run("prune", "--cache", str(filled), "--older-than", "50")
    assert "set of 8" in output
    assert left() == {"set of 16", "set of 32", "(not finished)"}
    run("prune", "--cache", str(filled), "--to-size", "40K")
    assert left() == {"set of 32", "(not finished)"}
    run("prune", "--cache", str(filled), "--all")
    assert left() == set()
    assert (filled / "downloads" / "mine.gz").exists()
    assert len(list((tmp_path / "x").iterdir())) == 20
    assert list((filled / "decoded" / "by-files").iterdir()) == []


def test_what_another_process_is_writing_is_not_removed(filled: Path) -> None:
    with FileLock(filled / "decoded" / "under-way" / "abc.lock"):
        assert "in use" in run("prune", "--cache", str(filled), "--all")
    assert [one.kind for one in cache_items(filled)] == ["under way"]


def test_what_was_pruned_is_decoded_again(filled: Path, tmp_path: Path, place: DataPlace) -> None:
    run("prune", "--cache", str(filled), "--all")
    files = [tmp_path / "x" / f"{n}.png" for n in range(20)]
    assert decode_files(files, place, DecodeRecipe(size=(8, 8))).pixels[:, 0, 0, 0].tolist() == list(range(20))


def test_an_empty_cache_is_no_error(tmp_path: Path) -> None:
    assert "0 entries, 0 B" in run("list", "--cache", str(tmp_path / "none"))
    assert run("verify", "--cache", str(tmp_path / "none")).endswith("exit 0")


def test_extracted_archives_audits_features_and_galleries_are_listed_and_pruned_too(tmp_path: Path) -> None:
    (tmp_path / "extracted" / "cats" / "inner").mkdir(parents=True)
    (tmp_path / "extracted" / "cats" / "inner" / "1.jpg").write_bytes(b"12345")
    (tmp_path / "audits").mkdir()
    (tmp_path / "audits" / "abc-v1.npz").write_bytes(b"123")
    (tmp_path / "galleries").mkdir()
    (tmp_path / "galleries" / "abc.safetensors").write_bytes(b"12")
    (tmp_path / "galleries" / "def.shards" / "0").mkdir(parents=True)
    (tmp_path / "galleries" / "def.shards" / "0" / "vectors.safetensors").write_bytes(b"1234")
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "123.safetensors").write_bytes(b"123456")
    found = cache_items(tmp_path)
    assert {(one.kind, one.bytes, one.images) for one in found} == {
        ("features", 6, 0),
        ("extracted", 5, 1),
        ("audit", 3, 0),
        ("gallery", 2, 0),
        ("gallery", 4, 0),
    }
    shards = next(one for one in found if one.bytes == 4)
    with FileLock(tmp_path / "galleries" / "def.lock"):
        assert not remove(shards, tmp_path), "somebody is embedding it"
    assert all(problem_of(one) is None and remove(one, tmp_path) for one in found)
    assert cache_items(tmp_path) == []


def test_verify_names_a_changed_audit_index_and_unpacked_file(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "cats.tar", "w") as archive:
        member = tarfile.TarInfo("1.jpg")
        member.size = 4
        archive.addfile(member, io.BytesIO(b"good"))
    unpacked = unpack_archive(tmp_path / "cats.tar", tmp_path, lambda _: True) / "1.jpg"
    audit, index = tmp_path / "audits" / "abc-v1.npz", tmp_path / "galleries" / "abc.safetensors"
    shard = tmp_path / "galleries" / "def.shards" / "0" / "vectors.safetensors"
    FolderCheckpoints(tmp_path / "features").save("ghi", {"features": torch.ones(8, 8)}, {"seconds": 1.0})
    features = tmp_path / "features" / "ghi.safetensors"
    none = np.zeros(0, np.int64)
    save_copies(audit, Copies(np.arange(5), none, none, none.astype(bool)))
    for path in (index, shard):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_index(path, Index(["1.png"], np.ones((1, 3), np.int64), [""], np.ones((1, 2), np.float32)))
    assert run("verify", "--cache", str(tmp_path)).endswith("exit 0")
    shown = {
        unpacked: unpacked.parent.name,
        audit: audit.name,
        index: index.name,
        shard: "def.shards",
        features: features.name,
    }
    for path, name in shown.items():
        whole = path.read_bytes()
        middle = len(whole) // 2
        path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
        lines = run("verify", "--cache", str(tmp_path)).splitlines()
        (failed,) = [line for line in lines if line.startswith("FAILED")]
        assert f"  {name}: " in failed
        assert lines[-1] == "exit 1"
        path.write_bytes(whole)
