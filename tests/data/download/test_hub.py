"""A repository's commit comes whole and as git has it, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from bench.contract import DataError, DataPlace
from bench.data.download.hub import GitHubCommit, fetch_commit

TarGz = Callable[[Path, Mapping[str, bytes]], bytes]
FILES = {"a.b": b"two", "a/x.txt": b"one", "a/b/y": b"three", "z": b""}
UPSTREAM = GitHubCommit("toy", "them/pets", "c0ffee", tree="08dd3434611a81a228d2db39b21bcba8c29a8687")  # git 2.39's


@pytest.fixture
def online(place: DataPlace) -> DataPlace:
    return replace(place, download=True)


@pytest.fixture
def upstream(served: tuple[str, Path], tar_gz: TarGz) -> GitHubCommit:
    tar_gz(served[1] / "them/pets/tar.gz/c0ffee", {f"pets-c0ffee/{name}": one for name, one in FILES.items()})
    return replace(UPSTREAM, host=served[0].rstrip("/"))


def test_a_commit_is_downloaded_once_into_the_cache(
    online: DataPlace, upstream: GitHubCommit, served: tuple[str, Path]
) -> None:
    archive = fetch_commit(upstream, online)
    assert archive == online.cache / "toy" / "pets-c0ffee.tar.gz"
    packed = served[1] / "them/pets/tar.gz/c0ffee"
    assert archive.read_bytes() == packed.read_bytes()
    packed.unlink()
    assert fetch_commit(upstream, replace(online, download=False)) == archive


@pytest.mark.parametrize("changed", [{"a/x.txt": b"On3"}, {"a/more": b""}], ids=["content", "name"])
def test_other_files_than_the_commits_are_refused_and_not_kept(
    online: DataPlace, upstream: GitHubCommit, served: tuple[str, Path], tar_gz: TarGz, changed: dict[str, bytes]
) -> None:
    tar_gz(served[1] / "them/pets/tar.gz/c0ffee", {f"pets/{name}": one for name, one in (FILES | changed).items()})
    with pytest.raises(DataError, match=r"gave other files than the commit's .*nothing was kept"):
        fetch_commit(upstream, online)
    assert not list((online.cache / "toy").iterdir())


def test_a_download_that_fails_says_what_to_do_and_leaves_nothing(
    online: DataPlace, upstream: GitHubCommit, served: tuple[str, Path]
) -> None:
    (served[1] / "them/pets/tar.gz/c0ffee").unlink()
    with pytest.raises(DataError, match=r"toy: not found .*404.*simbench fetch toy.*github\.com/them/pets") as caught:
        fetch_commit(upstream, online)
    assert "\n" not in str(caught.value)
    assert not list((online.cache / "toy").iterdir())


def test_without_leave_to_download_nothing_is_asked(place: DataPlace) -> None:
    with pytest.raises(DataError, match=r"downloading is switched off.*clone of https://github\.com/them/pets"):
        fetch_commit(replace(UPSTREAM, host="http://127.0.0.1:1"), place)
