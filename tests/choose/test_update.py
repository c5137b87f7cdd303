"""A folder that has changed since a method was chosen: what is new and gone, and what need not be run anew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import bench
from bench.choose.rungs import Rung
from bench.choose.update import CHOICE, Known, Update
from bench.contract import DataError, UsageError
from bench.files import write_json

BEST, LEVEL, LAST = Rung("best", "pretrained"), Rung("level", "lda"), Rung("last", "pixels")
UNTRIED = Rung("untried", "softmax")
OLD = {
    "limits": "",
    "winner": {"runs": ["b"]},
    "tied": [["l"]],
    "rows": [
        {"tried": "best, 3 times as long", "map": "0.900", "runs": ["b"]},
        {"tried": "best", "map": "0.850", "runs": ["b0"]},
        {"tried": "level", "map": "0.890", "runs": ["l"]},
        {"tried": "last", "map": "0.500", "runs": ["p"]},
    ],
}


def known(**files: bytes) -> Known:
    return Known(files, frozenset(files))


def many(count: int, *, first: int = 0) -> dict[str, bytes]:
    return {f"p{number}": bytes([number]) for number in range(first, first + count)}


def updated(then: dict[str, bytes], now: dict[str, bytes]) -> Update:
    return Update(OLD, known(**then), known(**now))


def test_new_gone_and_changed_pictures_are_told_by_name() -> None:
    since = updated(many(5), {**many(4), "p1": b"other", "q": b"q"})
    assert (since.new, since.changed, since.gone) == (["q"], ["p1"], ["p4"])
    assert since.in_words == "3 pictures kept, 1 new (q), 1 changed (p1), 1 gone (p4)"
    assert not since.nothing
    assert updated(many(5), many(5)).nothing


def test_how_far_behind_a_row_must_be_is_what_the_worst_case_leaves() -> None:
    since = updated(many(10), many(8) | many(4, first=20))
    # Of ten asked two are gone, four are new. The worst: both that are gone were lost by 1, all new ones are won.
    lost = 0.7 * 10 - 2
    assert since.worst(0.7) == pytest.approx((lost - 4) / 12)
    assert updated(many(3), many(3, first=9)).worst(1.0) < 0


def test_only_what_may_win_is_run_anew_and_what_was_level_first() -> None:
    few = updated(many(100), many(101))
    need, rest = few.to_run([LAST, LEVEL, UNTRIED, BEST])
    assert [rung.words for rung in need] == ["best", "level", "untried"]
    assert [(one.rung.words, one.need) for one in rest] == [("last", None)]
    assert "was behind by 0.400" in rest[0].why
    need, rest = updated(many(10), many(6)).to_run([LAST, LEVEL, BEST])
    assert ([rung.words for rung in need], rest) == (["best", "level", "last"], [])


def test_the_outcome_says_whether_the_answer_stands() -> None:
    def verdict(winner: Rung, *tied: Rung) -> Any:
        rivals = [SimpleNamespace(row=SimpleNamespace(slug=rung.words)) for rung in tied]
        row = SimpleNamespace(slug=winner.words, metric=SimpleNamespace(name="map"), score=0.87)
        rungs = {rung.words: rung for rung in (winner, *tied)}
        return SimpleNamespace(winner=row, rungs=rungs, best=SimpleNamespace(tied=rivals))

    since = updated(many(5), many(6))
    assert since.outcome(verdict(BEST)).startswith("The answer stands: best: map 0.900 then, 0.870 now.")
    unknown = since.outcome(verdict(LEVEL))
    assert unknown.startswith("Whether the answer stands is not known: best, 3 times as long was the best then and was")
    behind = verdict(LEVEL)
    behind.rungs["best"] = BEST
    assert since.outcome(behind) == "The answer has changed: then best, 3 times as long (map 0.900), now level (0.870)."
    assert since.outcome(verdict(LEVEL, BEST)).endswith("The two cannot be told apart.")


def test_what_was_known_is_read_as_it_was_written(tmp_path: Path) -> None:
    now = Known({f"{number}.png": bytes(range(number, number + 16)) for number in range(3)}, frozenset(["1.png"]))
    now.write(tmp_path)
    assert Known.read(tmp_path) == now
    (tmp_path / "pictures.npz").write_bytes(b"no array")
    with pytest.raises(DataError, match="choose again without --update"):
        Known.read(tmp_path)


def test_an_update_needs_files_an_earlier_choice_and_its_limits(tmp_path: Path) -> None:
    digits = bench.load("digits", protocol="loo")
    with pytest.raises(UsageError, match="--update is for pictures in files"):
        Update.since(tmp_path, digits, "")
    files = SimpleNamespace(contents=np.zeros((len(digits.query), 16), np.uint8))
    images = SimpleNamespace(files=files, rows=np.arange(len(digits.query)))
    part = SimpleNamespace(images=images, ids=digits.query.ids)
    data: Any = SimpleNamespace(name="x", train=part, validation=part, gallery=part, query=part)
    with pytest.raises(UsageError, match="nothing was chosen there for these pictures yet"):
        Update.since(tmp_path, data, "")
    found = Known.of(data)
    assert found is not None
    found.write(tmp_path)
    write_json(tmp_path / CHOICE, OLD)
    assert Update.since(tmp_path, data, "").nothing
    with pytest.raises(UsageError, match="chosen then within no limit, now within 20 ms an image"):
        Update.since(tmp_path, data, "20 ms an image")
    assert replace(Update.since(tmp_path, data, ""), now=known(a=b"a")).new == ["a"]
