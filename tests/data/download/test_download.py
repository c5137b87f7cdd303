"""Downloads come complete and checked or not at all, and without a network they fail at once and helpfully."""

from __future__ import annotations

import gzip
import hashlib
import socket
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from bench.contract import DataError, DataPlace
from bench.data.download.download import Upstream, UpstreamFile, provide, read_checked

T = TypeVar("T")
CONTENTS = {"images": b"pictures" * 50, "labels": b"names" * 50}
UPSTREAM = Upstream(
    dataset="toy",
    files=tuple(
        UpstreamFile(name, hashlib.md5(gzip.compress(c, mtime=0)).hexdigest(), hashlib.sha256(c).hexdigest())
        for name, c in CONTENTS.items()
    ),
    layouts=("toy",),
    package="dataset-toy",
)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def online(place: DataPlace) -> DataPlace:
    return replace(place, download=True)


@pytest.fixture
def mirror(served: tuple[str, Path]) -> tuple[str, Path]:
    """A mirror on this machine: its address, and the folder it serves."""
    for name, content in CONTENTS.items():
        (served[1] / f"{name}.gz").write_bytes(gzip.compress(content, mtime=0))
    return served


@pytest.fixture
def refused() -> str:
    """An address at which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/"


def test_files_are_downloaded_into_the_cache_and_found_there_next_time(
    online: DataPlace, mirror: tuple[str, Path]
) -> None:
    found = provide(UPSTREAM, online, lambda: [mirror[0]])
    assert {path.parent for path in found.values()} == {online.cache / "toy"}
    assert {name: content for name, (content, _) in read_checked(UPSTREAM, found).items()} == CONTENTS
    assert [path.name for path in online.cache.iterdir()] == ["toy"]
    assert provide(UPSTREAM, online, lambda: pytest.fail("asked for mirrors again")) == found


def test_a_mirror_that_fails_is_logged_and_the_next_one_asked(
    online: DataPlace, mirror: tuple[str, Path], refused: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert provide(UPSTREAM, online, lambda: [refused, mirror[0]])
    assert f"{refused}images.gz: " in caplog.text


def test_bytes_that_are_not_the_published_ones_are_never_put_in_place(
    online: DataPlace, mirror: tuple[str, Path]
) -> None:
    (mirror[1] / "labels.gz").write_bytes(b"<html>moved</html>")
    with pytest.raises(DataError, match=r"gave 18 bytes that are not the published ones"):
        provide(UPSTREAM, online, lambda: [mirror[0]])
    assert list(online.cache.iterdir()) == []


def test_a_file_that_the_mirror_lacks_is_an_error_with_its_address(online: DataPlace, mirror: tuple[str, Path]) -> None:
    (mirror[1] / "images.gz").unlink()
    with pytest.raises(DataError, match=r"images\.gz: HTTP Error 404"):
        provide(UPSTREAM, online, lambda: [mirror[0]])


def test_without_a_network_the_error_names_every_way_to_provide_the_files(online: DataPlace, refused: str) -> None:
    start = time.monotonic()
    with pytest.raises(DataError) as caught:
        provide(UPSTREAM, online, lambda: [refused])
    assert time.monotonic() - start < 10
    message = str(caught.value)
    for words in ("simbench fetch toy", "--data-root or SIMBENCH_DATA", "apt-get install dataset-toy", "images.gz"):
        assert words in message
    assert refused in message
    assert "\n" not in message


def test_a_host_that_never_answers_is_given_up_in_time(online: DataPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.data.download.download.TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as deaf, pytest.raises(DataError, match=r"0\.2 s|timed out"):
        provide(UPSTREAM, online, lambda: [f"http://127.0.0.1:{deaf.getsockname()[1]}/"])


def test_nothing_is_downloaded_unless_it_is_allowed(place: DataPlace) -> None:
    with pytest.raises(DataError, match=r"not found under .*downloading is switched off"):
        provide(UPSTREAM, place, lambda: pytest.fail("asked for mirrors"))


def test_an_incomplete_folder_is_told(place: DataPlace) -> None:
    (place.cache / "toy").mkdir(parents=True)
    (place.cache / "toy" / "images.gz").touch()
    with pytest.raises(DataError, match=r"toy lacks labels"):
        provide(UPSTREAM, place, list)


@pytest.mark.parametrize("address", ["file:///etc/", "no address at all/"])
def test_only_web_addresses_are_opened(online: DataPlace, address: str) -> None:
    with pytest.raises(DataError, match="neither http nor https"):
        provide(UPSTREAM, online, lambda: [address])


def test_a_download_shows_its_progress(online: DataPlace, mirror: tuple[str, Path]) -> None:
    seen: list[tuple[int, str]] = []

    def progress(items: Iterable[T], *, total: int, what: str) -> Iterable[T]:
        seen.append((total, what))
        return items

    provide(UPSTREAM, replace(online, progress=progress), lambda: [mirror[0]])
    assert seen == [(1, "downloading images.gz"), (1, "downloading labels.gz")]
