"""How busy others keep the machine: from the system's counters, without this process's own work."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.evaluation.cost import load
from bench.evaluation.cost.load import OtherLoad, busy_seconds, is_high


def test_busy_time_is_that_of_the_processors_this_process_may_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "cpu 9 9 9 9 9 9 9 9 0 0\ncpu0 100 20 30 900 50 1 2 7 0 0\ncpu1 999 0 0 0 0 0 0 0 0 0\nintr 5\n"
    (tmp_path / "stat").write_text(text, encoding="ascii")
    monkeypatch.setattr(load, "_STAT", tmp_path / "stat")
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0}, raising=False)
    monkeypatch.setattr("os.sysconf", lambda name: 100)
    assert busy_seconds() == pytest.approx(1.6)  # neither idle nor waiting for a disk
    monkeypatch.setattr(load, "_STAT", tmp_path / "missing")
    assert busy_seconds() is None


def test_own_work_is_no_load_and_that_of_others_is(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = {"perf_counter": [0.0, 4.0], "process_time": [1.0, 4.0]}
    for name, values in clocks.items():
        monkeypatch.setattr(f"time.{name}", iter(values).__next__)
    readings = iter([10.0, 19.0])
    monkeypatch.setattr(load, "busy_seconds", lambda: next(readings))
    assert OtherLoad().so_far() == pytest.approx((9 - 3) / 4)


def test_without_counters_it_is_the_load_average_less_own_work(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, values in {"perf_counter": [0.0, 2.0], "process_time": [0.0, 2.0]}.items():
        monkeypatch.setattr(f"time.{name}", iter(values).__next__)
    monkeypatch.setattr(load, "busy_seconds", lambda: None)
    monkeypatch.setattr("os.getloadavg", lambda: (1.5, 9.0, 9.0))
    assert OtherLoad().so_far() == pytest.approx(0.5)


def test_load_is_high_where_others_leave_fewer_processors_than_are_timed_on() -> None:
    assert [is_high(one, threads=1, cores=2) for one in (None, 0.0, 1.2, 1.3)] == [False, False, False, True]
    assert [is_high(one, threads=2, cores=2) for one in (0.2, 0.3)] == [False, True]
