"""Folders are made once, whole or not at all, however many want them and whoever is killed over it."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from bench.contract import SimbenchError
from bench.files import making_once, sweep_leftovers, write_bytes


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


def test_making_once_renames_a_filled_folder_and_asks_nobody_to_fill_it_again(tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "made"
    with making_once(folder) as new:
        assert new is not None
        (new / "a").write_text("whole")
        assert not folder.exists()
    assert (folder / "a").read_text() == "whole"
    assert names(folder.parent) == {"made"}
    with making_once(folder) as again:
        assert again is None


def test_making_once_leaves_nothing_of_what_failed_or_was_killed(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    (tmp_path / "made.partial").mkdir()
    (tmp_path / "made.partial" / "half").touch()  # of a process that was killed

    def fail() -> None:
        with making_once(folder) as new:
            assert new is not None
            assert names(new) == set()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert names(tmp_path) == set()


def test_making_once_makes_a_folder_anew_that_lacks_its_proof(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "damaged").touch()
    with making_once(folder, proof="entry") as new:
        assert new is not None
        (new / "entry").touch()
    assert names(folder) == {"entry"}


def test_making_once_has_one_fill_the_folder_while_others_wait(tmp_path: Path) -> None:
    filled: list[bool] = []

    def make() -> None:
        with making_once(tmp_path / "made") as new:
            time.sleep(0.05)
            filled.append(new is not None)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(filled) == [False, False, False, True]


def test_making_once_says_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SimbenchError, match="file: cannot be written to"), making_once(tmp_path / "file" / "made"):
        pass


@pytest.mark.parametrize("host", ["vm", "h" * 255, "odd/host name", ""])
@pytest.mark.parametrize("size", [243, 250, 255])
def test_a_file_whose_name_is_as_long_as_names_may_be_is_written_on_any_host(
    host: str, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: host)
    write_bytes(tmp_path / ("n" * size), b"whole")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"whole"]


def test_only_what_dead_processes_of_this_host_were_writing_is_swept_away(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    here = socket.gethostname()
    left = [f".run.json.{host}.{process}.tmp" for host, process in ((here, os.getpid()), ("elsewhere", ended.pid))]
    for name in (*left, f".run.json.{here}.{ended.pid}.tmp", "run.json"):
        (tmp_path / name).touch()
    sweep_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*left, "run.json"}
