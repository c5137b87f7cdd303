"""Where caches lie, and how long a host may take to answer."""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path

import pytest

from bench.contract import UsageError
from bench.environment import cache_folder, images_at_once, unreachable, user_path


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


def test_a_home_that_nobody_has_is_a_path_that_is_not_there() -> None:
    assert user_path("~nobody-of-this-name/x") == Path("~nobody-of-this-name/x")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no variable names the cache")
@pytest.mark.parametrize("named", [None, "relative/cache"])
def test_without_an_absolute_place_for_the_cache_one_line_says_what_to_set(
    named: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SIMBENCH_CACHE", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 987_654_321)  # who has no passwd entry
    monkeypatch.setenv("XDG_CACHE_HOME", named or "")
    with pytest.raises(UsageError, match="set SIMBENCH_CACHE to a folder"):
        cache_folder()


def test_large_images_are_embedded_a_few_at_a_time_on_a_cpu_and_many_on_a_gpu() -> None:
    assert [images_at_once(side, side, "cpu") for side in (28, 64, 224, 2000)] == [256, 196, 16, 1]
    assert images_at_once(28, 28, "cpu", most=500) == 500
    assert [images_at_once(side, side, "cuda") for side in (28, 32, 224, 448, 9999)] == [1024, 1024, 256, 64, 1]
    assert [images_at_once(side, side, "cuda", most=500) for side in (28, 224)] == [500, 256]
