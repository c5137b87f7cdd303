"""Archives are unpacked inside the cache only; one that would write elsewhere is refused whole."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from bench.contract import DataError
from bench.data.formats.archives import git_tree, members, read_members, unpack_archive

Zipped = Callable[[Path, Mapping[str, bytes]], bytes]
OUTSIDE = ["../evil.png", "a/../../evil.png", "/tmp/evil.png", "C:/evil.png", "..\\evil.png"]


def tar_of(path: Path, *infos: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as archive:
        good = tarfile.TarInfo("good.png")
        good.size = 4
        archive.addfile(good, io.BytesIO(b"good"))
        for info in infos:
            archive.addfile(info, io.BytesIO(b"evil"[: info.size]))
    return path


def walk_files(folder: Path) -> list[Path]:
    """Return the files that are read from a folder: the visible ones."""
    return [path for path in folder.rglob("*.*") if path.is_file() and path.parent.name != ".sums"]


def refused(path: Path, tmp_path: Path, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        unpack_archive(path, tmp_path / "cache", lambda _: True)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "cache").rglob("*.png"))
    assert not list(tmp_path.rglob("evil*"))
    assert not Path("/tmp/evil.png").exists()


@pytest.mark.parametrize("name", OUTSIDE)
def test_members_outside_of_the_folder_are_refused(tmp_path: Path, zipped: Zipped, name: str) -> None:
    zipped(tmp_path / "a.zip", {"good.png": b"good", name: b"evil"})
    refused(tmp_path / "a.zip", tmp_path, "refused, its member .* would be written outside")
    info = tarfile.TarInfo(name)
    info.size = 4
    refused(tar_of(tmp_path / "a.tar", info), tmp_path, "refused, its member .* would be written outside")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, kind: bytes) -> None:
    info = tarfile.TarInfo("cat.0.jpg")
    info.type, info.linkname = kind, "/etc/passwd"
    refused(tar_of(tmp_path / "a.tar", info), tmp_path, "is a link or a device")


def test_links_in_a_zip_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("cat.0.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("good.png", b"good")
        archive.writestr(link, "/etc/passwd")
    refused(tmp_path / "a.zip", tmp_path, "is a link or a device")


def test_a_name_that_comes_twice_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("good.png", b"good")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("good.png", b"other")
    refused(tmp_path / "a.zip", tmp_path, r"holds good\.png twice")


def test_a_name_that_the_disk_does_not_take_is_no_damage(tmp_path: Path, zipped: Zipped) -> None:
    zipped(tmp_path / "a.zip", {"x" * 300 + ".png": b"good"})
    refused(tmp_path / "a.zip", tmp_path, r"cannot be written to .*name too long")


def test_where_drives_are_named_by_letters_no_member_may_name_one(
    tmp_path: Path, zipped: Zipped, monkeypatch: pytest.MonkeyPatch
) -> None:
    zipped(tmp_path / "a.zip", {"good.png": b"good", "foo/C:evil.png": b"evil"})
    assert len(list(members(tmp_path / "a.zip"))) == 2
    monkeypatch.setattr("bench.data.formats.archives.os.name", "nt")
    with pytest.raises(DataError, match="would be written outside"):
        list(members(tmp_path / "a.zip"))


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz"])
def test_a_cut_off_archive_is_refused_and_leaves_nothing(tmp_path: Path, zipped: Zipped, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    members = {f"{number}.png": bytes(range(256)) * 40 for number in range(9)}
    if ending == "zip":
        zipped(path, members)
    else:
        with tarfile.open(path, "w:gz" if ending == "tar.gz" else "w") as archive:
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(path, tmp_path, r"a damaged archive .*delete it and get it again")


def test_a_damaged_member_is_refused(tmp_path: Path, zipped: Zipped) -> None:
    content = bytearray(zipped(tmp_path / "a.zip", {"good.png": b"good" * 100}))
    content[60] ^= 255
    (tmp_path / "a.zip").write_bytes(content)
    refused(tmp_path / "a.zip", tmp_path, "a damaged archive .*CRC")


def test_an_archive_is_unpacked_once_and_anew_when_it_changes(tmp_path: Path, zipped: Zipped) -> None:
    path = tmp_path / "a.zip"
    zipped(path, {"in/good.png": b"good", "in/notes.txt": b"no"})
    first = unpack_archive(path, tmp_path / "cache", lambda inner: inner.suffix == ".png")
    assert [one.relative_to(first).as_posix() for one in walk_files(first)] == ["in/good.png"]
    assert unpack_archive(path, tmp_path / "cache", lambda _: True) == first
    zipped(path, {"in/good.png": b"better"})
    assert unpack_archive(path, tmp_path / "cache", lambda _: True) != first
    assert read_members(path, ["good.png"]) == {"good.png": b"better"}


def test_an_archive_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_members(tmp_path / "none.zip", ["x"])


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "zip"])
def test_unpacked_members_are_compared_when_they_are_used_again(
    tmp_path: Path, zipped: Zipped, ending: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / f"a.{ending}"
    if ending == "zip":
        zipped(path, {"good.png": b"good"})
    else:
        with tarfile.open(path, "w:gz" if ending == "tar.gz" else "w") as archive:
            info = tarfile.TarInfo("good.png")
            info.size = 4
            archive.addfile(info, io.BytesIO(b"good"))
    for damage in (b"gOod", b"goo", None):
        folder = unpack_archive(path, tmp_path / "cache", lambda _: True)
        assert (folder / "good.png").read_bytes() == b"good"
        (folder / "good.png").unlink() if damage is None else (folder / "good.png").write_bytes(damage)
        monkeypatch.setattr("bench.data.formats.archives._verified", set())  # as another process
    (folder / "good.png").write_bytes(b"good")
    (folder / "more.png").write_bytes(b"more")
    assert [one.name for one in unpack_archive(path, tmp_path / "cache", lambda _: True).glob("*.png")] == ["good.png"]
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 3
    assert all("a damaged cache entry (" in line and line.endswith(f"unpacking {path} again") for line in told)
    assert "good.png: not what was unpacked" in told[0]


def test_the_digest_of_an_archives_files_is_what_git_says_of_the_commit(tmp_path: Path, zipped: Zipped) -> None:
    files = {"z": b"", "a/b/y": b"three", "a.b": b"two", "a/x.txt": b"one"}  # git puts a.b before a, which sorts as a/
    zipped(tmp_path / "a.zip", {f"pets-c0ffee/{name}": content for name, content in files.items()})
    assert git_tree(tmp_path / "a.zip") == "08dd3434611a81a228d2db39b21bcba8c29a8687"  # git rev-parse HEAD^{tree}
