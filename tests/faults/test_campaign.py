"""A fast part of the campaign of faults; all of it is in docs/design/faults.md."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.faults.campaign import BAD, Campaign, trials
from tests.faults.places import PLACES, in_place

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def campaign(three_runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    whole = Path(shutil.copytree(three_runs, tmp_path_factory.mktemp("campaign") / "whole"))
    return Campaign(whole, whole.parent, 1, only=("tables", "compare", "rerank"))


@pytest.mark.parametrize(("kind", "count"), [("flips", 5), ("swaps", 2), ("truncations", 2), ("mutations", 2)])
def test_a_damaged_file_gives_the_same_answer_or_is_named(campaign: Campaign, kind: str, count: int) -> None:
    said: list[str] = []
    found = trials(campaign, kind, range(count), 1, said.append)
    assert sum(found.values()) == count
    assert said == [], BAD


@pytest.mark.parametrize("place", PLACES[::13], ids=" at ".join)
def test_a_place_where_nothing_can_be_is_told_in_a_line(tmp_path: Path, place: tuple[str, str]) -> None:
    what, end, said = in_place(tmp_path, *place)
    assert end not in BAD, (what, said)
