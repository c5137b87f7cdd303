"""Options that say what may be tried: declared beside their defaults, refused where they contradict them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pytest

import bench
from bench.contract import MethodError
from bench.options import Choice, Range, build, search_space, tunable, values_of


@dataclass
class Plugin:
    lr: float = tunable(3e-3, low=3e-4, high=1e-2, log=True)
    width: int = tunable(64, low=16, high=128)
    mining: Literal["hard", "random"] = tunable("random", choices=("hard", "random"))
    goal: float | None = tunable(None, choices=(None, 0.5))
    name: str = "resnet"


def test_search_space_lists_tunable_options_in_field_order() -> None:
    assert search_space(Plugin) == {
        "lr": Range(3e-4, 1e-2, log=True),
        "width": Range(16, 128, whole=True),
        "mining": Choice(("hard", "random")),
        "goal": Choice((None, 0.5)),
    }


def test_a_tunable_option_is_an_option_like_any_other() -> None:
    assert values_of(Plugin()) == {"lr": 3e-3, "width": 64, "mining": "random", "goal": None, "name": "resnet"}
    assert build(Plugin, {"lr": "0.5", "mining": "hard"}, owner="method plugin") == Plugin(lr=0.5, mining="hard")


def test_the_face_of_the_harness_has_it() -> None:
    assert bench.tunable is tunable


@pytest.mark.parametrize(
    ("default", "settings", "complaint"),
    [
        (1.0, {}, "low and high, or choices"),
        (1.0, {"low": 0.5}, "low and high, or choices"),
        (1.0, {"low": 0.5, "high": 2.0, "choices": (1.0, 2.0)}, "low and high, or choices"),
        (1.0, {"choices": (1.0, 2.0), "log": True}, "low and high, or choices"),
        (1.0, {"low": 2.0, "high": 0.5}, "low must be below high"),
        (1.0, {"low": 0.0, "high": 2.0, "log": True}, "starts above 0"),
        (3.0, {"low": 0.5, "high": 2.0}, "default 3.0 is not among"),
        (True, {"low": 0, "high": 1}, "default True is not among"),
        (1, {"low": 0.5, "high": 2}, "whole ends"),
        ("a", {"choices": ("b", "c")}, "default 'a' is not among"),
        ("a", {"choices": ("a", "a")}, "two or more different"),
        ((1, 2), {"choices": ((1, 2), (3,))}, "words, numbers or None"),
    ],
)
def test_a_contradiction_is_refused_when_the_class_is_made(
    default: Any, settings: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(MethodError, match=complaint):
        tunable(default, **settings)
