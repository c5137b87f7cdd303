"""Options: dataclass fields from words and TOML values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.contract import UsageError
from bench.options import build, coerce, values_of


@dataclass
class Plugin:
    margin: float = 0.3
    width: int = 64
    name: str = "resnet"
    center: bool = False
    mining: Literal["hard", "random"] = "random"
    stages: tuple[int, ...] = (1, 2)
    names: tuple[str, ...] = ()
    goal: float | None = None

    def __post_init__(self) -> None:
        if self.margin < 0:
            raise ValueError("margin must be 0 or more")


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        ({"margin": "0.5"}, "margin", 0.5),
        ({"margin": 1}, "margin", 1.0),
        ({"width": "32"}, "width", 32),
        ({"center": "yes"}, "center", True),
        ({"center": False}, "center", False),
        ({"mining": "hard"}, "mining", "hard"),
        ({"stages": "3, 4,5"}, "stages", (3, 4, 5)),
        ({"names": 'a, "b, c",d'}, "names", ("a", "b, c", "d")),
        ({"names": "3,"}, "names", ("3", "")),
        ({"names": ""}, "names", ("",)),
        ({"stages": [7]}, "stages", (7,)),
        ({"goal": "none"}, "goal", None),
        ({"goal": "0.9"}, "goal", 0.9),
    ],
)
def test_words_and_toml_values_become_field_values(words: dict[str, Any], field: str, value: object) -> None:
    assert getattr(build(Plugin, words, owner="plugin"), field) == value


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ({"margni": "1"}, "did you mean 'margin'"),
        ({"margin": "wide"}, "expected a number, got 'wide'"),
        ({"width": "1.5"}, "expected a whole number"),
        ({"width": True}, "expected a whole number"),
        ({"center": "maybe"}, "expected true or false"),
        ({"mining": "hardest"}, "did you mean 'hard'"),
        ({"stages": "a,b"}, "expected a whole number"),
        ({"margin": "-1"}, "margin must be 0 or more"),
    ],
)
def test_a_wrong_option_is_told_in_one_line(words: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint) as caught:
        build(Plugin, words, owner="plugin")
    assert len(str(caught.value).splitlines()) == 1


def test_all_wrong_options_are_told_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        build(Plugin, {"margni": 1, "width": "x", "center": "?"}, owner="plugin")
    assert len(str(caught.value).splitlines()) == 3


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(10**9), 10**9), st.booleans())
def test_what_a_plugin_reports_of_itself_builds_it_again(margin: float, width: int, center: bool) -> None:
    made = Plugin(margin=abs(margin), width=width, center=center)
    assert build(Plugin, values_of(made), owner="plugin") == made


@given(st.integers())
def test_a_whole_number_survives_its_own_spelling(number: int) -> None:
    assert coerce(str(number), int) == number
