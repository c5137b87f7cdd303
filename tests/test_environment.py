"""Where caches lie, and how long a host may take to answer."""

from __future__ import annotations

import socket
import sys
import time
from pathlib import Path

import pytest

from bench.environment import cache_folder, unreachable


def test_cache_folder_is_the_one_named_or_else_the_systems_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SIMBENCH_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.delenv("SIMBENCH_CACHE")
    if sys.platform == "linux":
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        assert cache_folder() == tmp_path / "xdg" / "simbench"
        monkeypatch.delenv("XDG_CACHE_HOME")
        assert cache_folder() == Path.home() / ".cache" / "simbench"


def test_unreachable_gives_up_in_time_whatever_looking_up_the_name_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: time.sleep(3) or socket.socket())  # type: ignore[func-returns-value] # it gives None, so that `or` goes on
    started = time.monotonic()
    assert unreachable("https://example.invalid/x", 0.1) == "example.invalid does not answer within 0.1 s"
    assert time.monotonic() - started < 2
